// SPDX-License-Identifier: Apache-2.0
/// Between: rounds from one sparsity to another, up or down.
#include <espalier/prune/ground/select.h>
#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {
namespace {

class BetweenSchedule : public Schedule {
 public:
  explicit BetweenSchedule(const BetweenOptions& options) : options_(options) {
    ESPALIER_CHECK(options.rounds >= 1 && options.begin >= 0.0 && options.begin <= options.end &&
                       options.end <= 1.0,
                   ValueError,
                   "between schedule: expects rounds >= 1 and 0 <= begin <= end <= 1, got ",
                   options.rounds,
                   ", ",
                   options.begin,
                   " and ",
                   options.end);
  }

  std::vector<Moment> moments(const TrainingLength& length, Sparsity final) const override {
    std::vector<Moment> moments;
    const double to = options_.to.value_or(final).value();
    for (int64_t r = 1; r <= options_.rounds; ++r) {
      const double share = static_cast<double>(r) / static_cast<double>(options_.rounds);
      const double at = options_.begin + share * (options_.end - options_.begin);
      const double from = options_.from.value();
      moments.push_back({.step = guarded_floor(at * static_cast<double>(length.steps)),
                         .sparsity = Sparsity(from + share * (to - from))});
    }
    return moments;
  }

 private:
  BetweenOptions options_;
};

}  // namespace

std::unique_ptr<Schedule> between_schedule(const BetweenOptions& options) {
  return std::make_unique<BetweenSchedule>(options);
}

}  // namespace espalier::prune
