// SPDX-License-Identifier: Apache-2.0
/// Dynamic: sparse from the start; weights change places again and again.
#include <cmath>
#include <numbers>

#include <espalier/prune/ground/select.h>
#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {
namespace {

class DynamicSchedule : public Schedule {
 public:
  explicit DynamicSchedule(const DynamicOptions& options) : options_(options) {
    ESPALIER_CHECK(options.frequency >= 0 && options.end >= 0.0 && options.end <= 1.0 &&
                       options.fraction >= 0.0 && options.fraction <= 1.0,
                   ValueError,
                   "dynamic schedule: expects frequency >= 0, end and fraction in 0 .. 1, got ",
                   options.frequency,
                   ", ",
                   options.end,
                   " and ",
                   options.fraction);
    ESPALIER_CHECK(options.least >= 0.0 && options.least <= options.fraction,
                   ValueError,
                   "dynamic schedule: the least moved fraction, ",
                   options.least,
                   ", exceeds the one at first, ",
                   options.fraction);
  }

  std::vector<Moment> moments(const TrainingLength& length, Sparsity final) const override {
    std::vector<Moment> moments;
    const int64_t end = guarded_floor(options_.end * static_cast<double>(length.steps));
    const int64_t interval =
        options_.frequency > 0 ? options_.frequency : std::max<int64_t>(length.steps_per_epoch, 1);
    int64_t t = options_.at_first_step ? 0 : interval;
    while (t < end) {
      moments.push_back({.step = t, .sparsity = final, .moved = moved(t, end)});
      int64_t distance = interval;
      for (const double from : options_.rarer_from) {
        if (t >= guarded_floor(from * static_cast<double>(length.steps))) distance *= 2;
      }
      t += distance;
    }
    return moments;
  }

 private:
  double moved(int64_t t, int64_t end) const {
    if (options_.decay == MovedDecay::Constant) return options_.fraction;
    const double share = static_cast<double>(t) / static_cast<double>(end);
    const double range = options_.fraction - options_.least;
    return options_.least + range / 2.0 * (1.0 + std::cos(std::numbers::pi * share));
  }

  DynamicOptions options_;
};

}  // namespace

std::unique_ptr<Schedule> dynamic_schedule(const DynamicOptions& options) {
  return std::make_unique<DynamicSchedule>(options);
}

}  // namespace espalier::prune
