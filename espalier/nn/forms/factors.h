// SPDX-License-Identifier: Apache-2.0
/// Factors: a form that multiplies units of weights with one trained number each: what pulls these
/// numbers to zero, or to zero and one, is a method's matter.
///
///   e = w f, f a number for each weight, output, input channel or stripe; all 1 at first
///
/// Weights whose factor is exactly zero are skipped, and still tell its gradient.
#pragma once

#include <espalier/nn/forms/form.h>
#include <espalier/nn/forms/spread.h>

namespace espalier::nn {

/// See above.
class Factors : public Form {
 public:
  /// Settings of one form.
  struct Options {
    Spread::Options spread = {};  ///< which weights share a factor
    /// Buffers as large as the factors, zero at first and saved, for how they are trained (a
    /// velocity, dual variables).
    int64_t memories = 0;
    bool decay = false;  ///< the optimizer's weight decay is on factors too
  };

  /// Throws as `Spread`.
  Factors(const Shape& weight, const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  void reset_parameters(const InitRng& rng) override;
  std::string kind() const override { return "factors"; }
  std::map<std::string, double> settings() const override;
  Effective effective(const Parameter& weight) override;
  /// Forms of layers that read the same channels have their factors and memories in common.
  void share(Attached& first) override;

  /// False when another form, whose factors these are, comes before it: what is to be done once is
  /// done there.
  bool is_first() const { return first_; }
  /// The factor of every entry of a weight, in its shape; infinite where there is none.
  Tensor of_entries(const Shape& weight) const;

  Parameter factors;             ///< in the shape of `Spread::numbers`
  std::vector<Tensor> memories;  ///< of the same shape

 protected:
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Factors>(*this); }

 private:
  Options options_;
  Spread spread_;
  bool first_ = true;
  SupportOf pattern_;
};

}  // namespace espalier::nn
