// SPDX-License-Identifier: Apache-2.0
/// Learning-rate schedules: pure functions of the step, so a resumed run needs no schedule state.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace espalier::nn {

/// The learning rate of each step.
class LrSchedule {
 public:
  virtual ~LrSchedule() = default;
  /// `step` counts from 0 over the whole training of `total_steps`.
  virtual double lr(int64_t step, int64_t total_steps) const = 0;
};

/// Always the same.
class ConstantLr : public LrSchedule {
 public:
  /// `lr` at every step.
  explicit ConstantLr(double lr) : lr_(lr) {}
  double lr(int64_t step, int64_t total_steps) const override;

 private:
  double lr_;
};

/// base * gamma^floor(step / every).
class StepLr : public LrSchedule {
 public:
  /// Throws ValueError when `every` is not positive.
  StepLr(double base, int64_t every, double gamma = 0.1);
  double lr(int64_t step, int64_t total_steps) const override;

 private:
  double base_;
  int64_t every_;
  double gamma_;
};

/// base * gamma^(number of milestones <= step). Milestones are steps, or fractions of the whole
/// training.
class MultiStepLr : public LrSchedule {
 public:
  /// Milestones in steps. Throws ValueError when they don't increase.
  MultiStepLr(double base, std::vector<int64_t> milestones, double gamma = 0.1);
  /// Milestones as fractions of all steps, for example {0.5, 0.75}. Throws ValueError when they
  /// don't increase or are not between 0 and 1.
  static MultiStepLr at_fractions(double base, std::vector<double> fractions, double gamma = 0.1);
  double lr(int64_t step, int64_t total_steps) const override;

 private:
  double base_;
  std::vector<int64_t> milestones_;
  std::vector<double> fractions_;
  double gamma_;
};

/// floor + (base - floor) * (1 + cos(pi * step / total_steps)) / 2. Source: arXiv:1608.03983,
/// eq. 5.
class CosineLr : public LrSchedule {
 public:
  /// From `base` at the first step down to `floor`.
  explicit CosineLr(double base, double floor = 0.0) : base_(base), floor_(floor) {}
  double lr(int64_t step, int64_t total_steps) const override;

 private:
  double base_;
  double floor_;
};

/// Settings of OneCycleLr.
struct OneCycleOptions {
  double peak = 0.1;          ///< the highest rate
  double rise = 0.3;          ///< fraction of all steps until the peak
  double start_divisor = 25;  ///< the first rate is peak / start_divisor
  double end_divisor = 1e4;   ///< the last rate is the first / end_divisor
};

/// Up from peak/start_divisor to the peak and down to peak/start_divisor/end_divisor at the last
/// step, both along half a cosine. Source: Smith, Topin, arXiv:1708.07120.
class OneCycleLr : public LrSchedule {
 public:
  /// Throws ValueError unless 0 < rise < 1 and the divisors are positive.
  explicit OneCycleLr(const OneCycleOptions& options);
  double lr(int64_t step, int64_t total_steps) const override;

 private:
  OneCycleOptions options_;
};

/// Another schedule times a ramp that rises linearly from `start` at step 0 to 1 at step `steps`.
class WarmupLr : public LrSchedule {
 public:
  /// Throws ValueError for a null schedule or negative steps.
  WarmupLr(std::shared_ptr<const LrSchedule> inner, int64_t steps, double start = 0.0);
  double lr(int64_t step, int64_t total_steps) const override;

 private:
  std::shared_ptr<const LrSchedule> inner_;
  int64_t steps_;
  double start_;
};

}  // namespace espalier::nn
