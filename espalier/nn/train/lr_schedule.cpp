// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include <espalier/core/error.h>
#include <espalier/nn/train/lr_schedule.h>

namespace espalier::nn {

namespace {

// From `from` at t = 0 to `to` at t = 1 along half a cosine; both ends exact.
double cosine_between(double from, double to, double t) {
  if (t <= 0.0) return from;
  if (t >= 1.0) return to;
  return to + (from - to) * (1.0 + std::cos(std::numbers::pi * t)) / 2.0;
}

template <class T>
void check_increasing(const std::vector<T>& milestones) {
  for (size_t i = 1; i < milestones.size(); ++i) {
    ESPALIER_CHECK(milestones[i - 1] < milestones[i],
                   ValueError,
                   "MultiStepLr: expects increasing milestones, got ",
                   milestones[i - 1],
                   " before ",
                   milestones[i]);
  }
}

}  // namespace

double ConstantLr::lr(int64_t, int64_t) const {
  return lr_;
}

StepLr::StepLr(double base, int64_t every, double gamma)
    : base_(base), every_(every), gamma_(gamma) {
  ESPALIER_CHECK(every > 0, ValueError, "StepLr: expects every > 0 steps, got ", every);
}

double StepLr::lr(int64_t step, int64_t) const {
  const int64_t falls = step / every_;
  return base_ * std::pow(gamma_, static_cast<double>(falls));
}

MultiStepLr::MultiStepLr(double base, std::vector<int64_t> milestones, double gamma)
    : base_(base), milestones_(std::move(milestones)), gamma_(gamma) {
  check_increasing(milestones_);
}

MultiStepLr MultiStepLr::at_fractions(double base, std::vector<double> fractions, double gamma) {
  for (const double fraction : fractions) {
    ESPALIER_CHECK(fraction > 0.0 && fraction < 1.0,
                   ValueError,
                   "MultiStepLr: expects milestones as fractions of training (0..1), got ",
                   fraction);
  }
  check_increasing(fractions);
  MultiStepLr result(base, {}, gamma);
  result.fractions_ = std::move(fractions);
  return result;
}

double MultiStepLr::lr(int64_t step, int64_t total_steps) const {
  const auto passed = std::ranges::count_if(milestones_, [&](int64_t m) { return m <= step; }) +
                      std::ranges::count_if(fractions_, [&](double f) {
                        return std::llround(f * static_cast<double>(total_steps)) <= step;
                      });
  return base_ * std::pow(gamma_, static_cast<double>(passed));
}

double CosineLr::lr(int64_t step, int64_t total_steps) const {
  return cosine_between(
      base_,
      floor_,
      static_cast<double>(step) / static_cast<double>(std::max<int64_t>(total_steps, 1)));
}

OneCycleLr::OneCycleLr(const OneCycleOptions& options) : options_(options) {
  ESPALIER_CHECK(options.rise > 0.0 && options.rise < 1.0,
                 ValueError,
                 "OneCycleLr: expects 0 < rise < 1, got ",
                 options.rise);
  ESPALIER_CHECK(options.start_divisor > 0.0 && options.end_divisor > 0.0,
                 ValueError,
                 "OneCycleLr: expects positive divisors, got ",
                 options.start_divisor,
                 " and ",
                 options.end_divisor);
}

double OneCycleLr::lr(int64_t step, int64_t total_steps) const {
  const double start = options_.peak / options_.start_divisor;
  const double end = start / options_.end_divisor;
  const double top = options_.rise * static_cast<double>(total_steps) - 1.0;
  const double last = static_cast<double>(total_steps) - 1.0;
  const double at = static_cast<double>(step);
  // A rise that ends at step 0 has no width: that step has the peak.
  constexpr double kNoWidth = 1e-9;
  if (at <= top && top > kNoWidth) return cosine_between(start, options_.peak, at / top);
  return cosine_between(options_.peak, end, (at - top) / (last - top));
}

WarmupLr::WarmupLr(std::shared_ptr<const LrSchedule> inner, int64_t steps, double start)
    : inner_(std::move(inner)), steps_(steps), start_(start) {
  ESPALIER_CHECK(inner_ != nullptr, ValueError, "WarmupLr: expects a schedule, got null");
  ESPALIER_CHECK(steps >= 0, ValueError, "WarmupLr: expects steps >= 0, got ", steps);
}

double WarmupLr::lr(int64_t step, int64_t total_steps) const {
  const double base = inner_->lr(step, total_steps);
  if (step >= steps_) return base;
  return base * (start_ + (1.0 - start_) * static_cast<double>(step) / static_cast<double>(steps_));
}

}  // namespace espalier::nn
