// SPDX-License-Identifier: Apache-2.0
/// One shot: one update, before training or at a fraction of it.
#include <espalier/prune/ground/select.h>
#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {
namespace {

class OneShotSchedule : public Schedule {
 public:
  explicit OneShotSchedule(double at) : at_(at) {
    ESPALIER_CHECK(at >= 0.0 && at <= 1.0,
                   ValueError,
                   "one-shot schedule: expects a fraction of training in 0 .. 1, got ",
                   at);
  }
  std::vector<Moment> moments(const TrainingLength& length, Sparsity final) const override {
    return {{.step = guarded_floor(at_ * static_cast<double>(length.steps)), .sparsity = final}};
  }

 private:
  double at_;
};

}  // namespace

std::unique_ptr<Schedule> one_shot_schedule(double at) {
  return std::make_unique<OneShotSchedule>(at);
}

}  // namespace espalier::prune
