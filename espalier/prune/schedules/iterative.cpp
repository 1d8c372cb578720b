// SPDX-License-Identifier: Apache-2.0
/// Iterative: the kept fraction shrinks round by round, by the same factor or the same amount.
#include <cmath>

#include <espalier/prune/ground/select.h>
#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {
namespace {

class IterativeSchedule : public Schedule {
 public:
  IterativeSchedule(int64_t rounds, double until, Pace pace)
      : rounds_(rounds), until_(until), pace_(pace) {
    ESPALIER_CHECK(rounds >= 1 && until >= 0.0 && until <= 1.0,
                   ValueError,
                   "iterative schedule: expects rounds >= 1 and until in 0 .. 1, got ",
                   rounds,
                   " and ",
                   until);
  }

  std::vector<Moment> moments(const TrainingLength& length, Sparsity final) const override {
    const int64_t total_steps = length.steps;
    std::vector<Moment> moments;
    for (int64_t r = 1; r <= rounds_; ++r) {
      const double share = static_cast<double>(r) / static_cast<double>(rounds_);
      const double wait = static_cast<double>(r - 1) / static_cast<double>(rounds_) * until_;
      const int64_t step = guarded_floor(wait * static_cast<double>(total_steps));
      const double kept = pace_ == Pace::Linear ? 1.0 - final.value() * share
                                                : std::pow(final.density().value(), share);
      moments.push_back({.step = step, .sparsity = r == rounds_ ? final : Sparsity(1.0 - kept)});
    }
    return moments;
  }

 private:
  int64_t rounds_;
  double until_;
  Pace pace_;
};

}  // namespace

std::unique_ptr<Schedule> iterative_schedule(int64_t rounds, double until, Pace pace) {
  return std::make_unique<IterativeSchedule>(rounds, until, pace);
}

}  // namespace espalier::prune
