// SPDX-License-Identifier: Apache-2.0
/// Rounds: a mask update after the last step of training, again and again.
#include <cmath>

#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {
namespace {

class RoundsSchedule : public Schedule {
 public:
  RoundsSchedule(int64_t rounds, double fraction) : rounds_(rounds), fraction_(fraction) {
    ESPALIER_CHECK(rounds >= 0 && fraction > 0.0 && fraction <= 1.0,
                   ValueError,
                   "rounds schedule: expects rounds >= 0 and a fraction in 0 .. 1 (0 excluded), "
                   "got ",
                   rounds,
                   " and ",
                   fraction);
  }

  std::vector<Moment> moments(const TrainingLength& length, Sparsity final) const override {
    const int64_t total_steps = length.steps;
    std::vector<Moment> moments;
    const double density = final.density().value();
    if (rounds_ > 0) {
      for (int64_t r = 1; r < rounds_; ++r) {
        const double share = static_cast<double>(r) / static_cast<double>(rounds_);
        moments.push_back(
            {.step = total_steps, .sparsity = Sparsity(1 - std::pow(density, share))});
      }
    } else {
      // The slack keeps a last round from removing nothing: 0.8 * 0.8 is just above 0.64.
      constexpr double kSlack = 1e-9;
      const double stays = 1.0 - fraction_;
      for (double kept = stays; kept > density * (1 + kSlack) + kSlack; kept *= stays) {
        moments.push_back(
            {.step = total_steps, .sparsity = Sparsity(1.0 - kept), .of_remaining = fraction_});
      }
    }
    moments.push_back({.step = total_steps, .sparsity = final});
    return moments;
  }

 private:
  int64_t rounds_;
  double fraction_;
};

}  // namespace

std::unique_ptr<Schedule> rounds_schedule(int64_t rounds, double fraction) {
  return std::make_unique<RoundsSchedule>(rounds, fraction);
}

}  // namespace espalier::prune
