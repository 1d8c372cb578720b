// SPDX-License-Identifier: Apache-2.0
/// Moves while pruning: weights change places at the sparsity that another schedule has reached.
#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {
namespace {

class MovesWhilePruning : public Schedule {
 public:
  MovesWhilePruning(std::unique_ptr<Schedule> moves, std::unique_ptr<Schedule> pruning)
      : moves_(std::move(moves)), pruning_(std::move(pruning)) {}

  std::vector<Moment> moments(const TrainingLength& length, Sparsity final) const override {
    const std::vector<Moment> pruned = pruning_->moments(length, final);
    std::vector<Moment> moments;
    size_t reached = 0;
    for (Moment moment : moves_->moments(length, final)) {
      while (reached < pruned.size() && pruned[reached].step <= moment.step) ++reached;
      if (reached == 0) continue;
      moment.sparsity = pruned[reached - 1].sparsity;
      moments.push_back(moment);
    }
    return moments;
  }

 private:
  std::unique_ptr<Schedule> moves_;
  std::unique_ptr<Schedule> pruning_;
};

}  // namespace

std::unique_ptr<Schedule> moves_while_pruning(std::unique_ptr<Schedule> moves,
                                              std::unique_ptr<Schedule> pruning) {
  return std::make_unique<MovesWhilePruning>(std::move(moves), std::move(pruning));
}

}  // namespace espalier::prune
