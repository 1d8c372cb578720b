// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/hooks/progress_lines.h>

#include <ostream>
#include <utility>

#include <fmt/format.h>

namespace espalier::nn {
namespace {

std::string line_of(const TrainState& state) {
  return fmt::format("epoch {}/{}  step {}/{}  lr {:.4g}  loss {:.4f}  accuracy {:.4f}",
                     state.epoch + 1,
                     state.total_steps / state.steps_per_epoch,
                     state.step,
                     state.total_steps,
                     state.optimizer.lr(),
                     state.loss,
                     state.accuracy);
}

}  // namespace

ProgressLines::ProgressLines(Receiver receiver, std::vector<Watched> watched, int64_t every_steps)
    : receiver_(std::move(receiver)), watched_(std::move(watched)), every_steps_(every_steps) {
  ESPALIER_CHECK(
      every_steps >= 0, ValueError, "ProgressLines: expects every_steps >= 0, got ", every_steps);
}

ProgressLines::ProgressLines(std::ostream& stream,
                             std::vector<Watched> watched,
                             int64_t every_steps)
    : ProgressLines([&stream](const std::string& line) { stream << line << '\n'
                                                                << std::flush; },
                    std::move(watched),
                    every_steps) {}

void ProgressLines::after_step(TrainState& state) {
  const bool ends = state.step % state.steps_per_epoch == 0;  // the epoch's line comes
  if (every_steps_ > 0 && !ends && state.step % every_steps_ == 0) receiver_(line_of(state));
}

void ProgressLines::end_of_epoch(TrainState& state) {
  std::string line = line_of(state);
  for (const Watched& one : watched_) {
    line += fmt::format("  {} {:.4f}", one.name, one.value(state));
  }
  receiver_(line);
}

}  // namespace espalier::nn
