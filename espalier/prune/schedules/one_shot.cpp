// SPDX-License-Identifier: Apache-2.0
/// One shot: one update before training.
#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {
namespace {

class OneShotSchedule : public Schedule {
 public:
  std::vector<ScheduledUpdate> updates(int64_t, Sparsity final) const override {
    return {{.step = 0, .sparsity = final}};
  }
};

}  // namespace

std::unique_ptr<Schedule> one_shot_schedule() {
  return std::make_unique<OneShotSchedule>();
}

}  // namespace espalier::prune
