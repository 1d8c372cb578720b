// SPDX-License-Identifier: Apache-2.0
/// One shot: one update, before training or at a fraction of it.
#include <espalier/prune/ground/select.h>
#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {
namespace {

class OneShotSchedule : public Schedule {
 public:
  OneShotSchedule(double at, std::optional<Sparsity> to) : at_(at), to_(to) {
    ESPALIER_CHECK(at >= 0.0 && at <= 1.0,
                   ValueError,
                   "one-shot schedule: expects a fraction of training in 0 .. 1, got ",
                   at);
  }
  std::vector<Moment> moments(const TrainingLength& length, Sparsity final) const override {
    return {{.step = guarded_floor(at_ * static_cast<double>(length.steps)),
             .sparsity = to_.value_or(final)}};
  }

 private:
  double at_;
  std::optional<Sparsity> to_;
};

}  // namespace

std::unique_ptr<Schedule> one_shot_schedule(double at, std::optional<Sparsity> to) {
  return std::make_unique<OneShotSchedule>(at, to);
}

}  // namespace espalier::prune
