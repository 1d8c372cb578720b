// SPDX-License-Identifier: Apache-2.0
/// Epochs: choices that are made anew at ends of epochs.
#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {
namespace {

class EpochsSchedule : public Schedule {
 public:
  EpochsSchedule(Epochs which, int64_t every) : which_(which), every_(every) {
    ESPALIER_CHECK(every >= 1,
                   ValueError,
                   "epochs schedule: expects a distance of at least 1 epoch, got ",
                   every);
  }

  std::vector<Moment> moments(const TrainingLength& length, Sparsity final) const override {
    if (which_ == Epochs::Last) {
      return {{.step = length.steps, .sparsity = final, .ends_epoch = true}};
    }
    std::vector<Moment> moments;
    if (length.steps > 0) moments.push_back({.step = 0, .sparsity = final});
    if (length.steps_per_epoch == 0) return moments;  // nobody knows where epochs end
    for (int64_t epoch = 0; (epoch + 1) * length.steps_per_epoch < length.steps; epoch += every_) {
      moments.push_back(
          {.step = (epoch + 1) * length.steps_per_epoch, .sparsity = final, .ends_epoch = true});
    }
    return moments;
  }

 private:
  Epochs which_;
  int64_t every_;
};

}  // namespace

std::unique_ptr<Schedule> epochs_schedule(Epochs which, int64_t every) {
  return std::make_unique<EpochsSchedule>(which, every);
}

}  // namespace espalier::prune
