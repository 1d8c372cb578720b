// SPDX-License-Identifier: Apache-2.0
/// The hard concrete distribution: a gate z in [0, 1] that is exactly 0 or 1 with positive
/// probability and still has a gradient; and HardConcrete, a form that multiplies weights, or
/// groups of them, with such gates.
///
///   in training      e = w z(log alpha, u), u new in every pass: a function of a saved position
///   in evaluation    e = w E, the gate without noise
///
/// Weights whose gate is closed are skipped. For the loss: P(z != 0), times what a gate costs.
///
/// Source: Louizos, Welling, Kingma, arXiv:1712.01312, equations 10 to 13.
#pragma once

#include <espalier/nn/forms/form.h>
#include <espalier/nn/forms/spread.h>

namespace espalier::nn {

namespace hard_concrete {

inline constexpr double kBeta = 2.0 / 3.0;  ///< temperature
inline constexpr double kGamma = -0.1;      ///< lower end of the stretch
inline constexpr double kZeta = 1.1;        ///< upper end
/// Noise is drawn from (kEpsilon, 1 - kEpsilon).
inline constexpr double kEpsilon = 1e-6;
/// log alpha stays within +- log 100.
inline constexpr double kMostLogAlpha = 4.605170185988091;
/// The test-time gate is 0 exactly up to this log alpha, which is -log 11.
inline constexpr double kClosedLogAlpha = -2.3978952727983707;

/// A sampled gate and its derivative.
struct Sample {
  double z = 0.0;   ///< the gate
  double dz = 0.0;  ///< dz / d log alpha; 0 where z is clipped
};
/// s = sigmoid((log u - log(1-u) + log alpha) / beta); z = clip(s * (zeta - gamma) + gamma, 0, 1).
Sample sample(double log_alpha, double u);

/// P(z != 0) = sigmoid(log alpha - beta * log(-gamma / zeta)).
double probability_open(double log_alpha);
/// Its derivative, p * (1 - p).
double probability_open_slope(double log_alpha);
/// P(z = 1).
double probability_one(double log_alpha);

/// The gate without noise: clip(sigmoid(log alpha) * (zeta - gamma) + gamma, 0, 1). The temperature
/// does not enter.
double expected_gate(double log_alpha);
/// The same and its derivative.
Sample expected(double log_alpha);

/// log alpha of gates that a Bernoulli mask would close with probability `drop_rate`.
double initial_log_alpha(double drop_rate);

}  // namespace hard_concrete

/// See above.
class HardConcrete : public Form {
 public:
  /// What one gate multiplies.
  using Grain = Spread::Grain;
  /// Settings of one form.
  struct Options {
    Grain grain = Grain::Weights;  ///< what one gate multiplies
    /// Of Outputs and Inputs: the gate, 0 .. gates-1, of every index of that dimension, -1 for none
    /// (inputs of a flattened plane share one). Empty: each index has its own.
    std::vector<int64_t> gate_of = {};
    int64_t gates = 0;       ///< of `gate_of`
    double drop_rate = 0.5;  ///< at first, gates are closed with this probability
    uint64_t seed = 0;       ///< of first values and noise
    int64_t number = 0;      ///< of the form in its network: forms differ by it
  };

  /// log alpha of a weight's gates: normal around the drop rate's, deviation 0.01. Throws
  /// ValueError unless 0 < drop_rate < 1, and for a `gate_of` that does not fit.
  HardConcrete(const Shape& weight, const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  void reset_parameters(const InitRng& rng) override;
  std::string kind() const override { return "hard-concrete"; }
  std::map<std::string, double> settings() const override;
  /// In training draws gates, and goes one position on.
  Effective effective(const Parameter& weight) override;
  /// Forms of layers that read the same channels have their gates, and their noise, in common.
  void share(Attached& first) override;

  /// The noise of the next pass in training is that of this position (a step of training).
  void set_position(int64_t position);
  /// P(z != 0) of every gate, in log alpha's shape, with its tape.
  Variable probability_open() const;
  /// Sum over gates of P(z != 0) (price |g| + decay / 2 ||w_g||^2), |g| the weights of a gate that
  /// exist.
  Variable penalty(const Parameter& weight, double price, double decay) const;
  /// log alpha of the gate of every entry of a weight, in its shape; infinite where there is none.
  Tensor log_alpha_of_entries(const Shape& weight) const;
  /// Brings log alpha back into +- log 100: after each step.
  void clamp();

  /// The weight's shape, (K,1,..), (1,C,1,..), or with `gate_of` (gates). No weight decay.
  Parameter log_alpha;

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<HardConcrete>(*this);
  }

 private:
  struct Drawn {
    Tensor z, dz;  // in log alpha's shape
  };
  Drawn draw();

  Options options_;
  Spread spread_;
  Rng noise_;  // its position counts passes
  SupportOf pattern_;
};

}  // namespace espalier::nn
