// SPDX-License-Identifier: Apache-2.0
/// Cubic: fast while much is redundant, slow near the end.
#include <algorithm>

#include <espalier/prune/ground/select.h>
#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {
namespace {

class CubicSchedule : public Schedule {
 public:
  explicit CubicSchedule(const CubicOptions& options) : options_(options) {
    ESPALIER_CHECK(0.0 <= options.begin && options.begin <= options.end && options.end <= 1.0,
                   ValueError,
                   "cubic schedule: expects 0 <= begin <= end <= 1, got begin ",
                   options.begin,
                   " and end ",
                   options.end);
    ESPALIER_CHECK(options.frequency >= 1,
                   ValueError,
                   "cubic schedule: expects a frequency of at least 1 step, got ",
                   options.frequency);
  }

  std::vector<Moment> moments(const TrainingLength& length, Sparsity final) const override {
    const int64_t total_steps = length.steps;
    ESPALIER_CHECK(options_.initial <= final,
                   ValueError,
                   "cubic schedule: the initial sparsity ",
                   options_.initial.value(),
                   " exceeds the final one, ",
                   final.value());
    const auto total = static_cast<double>(total_steps);
    const int64_t begin = guarded_floor(options_.begin * total);
    const int64_t span = guarded_floor(options_.end * total) - begin;
    if (span == 0) return {{.step = begin, .sparsity = final}};
    const int64_t interval = std::min(options_.frequency, span);
    const int64_t n = span / interval;
    std::vector<Moment> moments;
    for (int64_t k = 0; k <= n; ++k) {
      const double left = 1.0 - static_cast<double>(k) / static_cast<double>(n);
      const double s_f = final.value();
      const double s = s_f + (options_.initial.value() - s_f) * left * left * left;
      moments.push_back({.step = begin + k * interval, .sparsity = Sparsity(s)});
    }
    return moments;
  }

 private:
  CubicOptions options_;
};

}  // namespace

std::unique_ptr<Schedule> cubic_schedule(const CubicOptions& options) {
  return std::make_unique<CubicSchedule>(options);
}

}  // namespace espalier::prune
