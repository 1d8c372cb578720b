// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/hooks/save_checkpoints.h>

#include <string>
#include <string_view>
#include <utility>

namespace espalier::nn {
namespace {

void replace_all(std::string& text, std::string_view what, const std::string& by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
}

}  // namespace

SaveCheckpoints::SaveCheckpoints(std::filesystem::path file, const SaveCheckpointsOptions& options)
    : file_(std::move(file)), options_(options) {
  ESPALIER_CHECK(!file_.empty(), ValueError, "SaveCheckpoints: expects the name of a file");
  ESPALIER_CHECK(options.every_steps >= 0 && options.every_epochs >= 0,
                 ValueError,
                 "SaveCheckpoints: expects every_steps and every_epochs >= 0, got ",
                 options.every_steps,
                 " and ",
                 options.every_epochs);
}

void SaveCheckpoints::after_step(TrainState& state) {
  if (options_.every_steps > 0 && state.step % options_.every_steps == 0) save(state, state.epoch);
}

void SaveCheckpoints::end_of_epoch(TrainState& state) {
  const int64_t epochs = state.epoch + 1;
  if (options_.every_epochs > 0 && epochs % options_.every_epochs == 0) save(state, epochs);
}

void SaveCheckpoints::save(const TrainState& state, int64_t epochs) const {
  std::string file = file_.string();
  replace_all(file, "{step}", std::to_string(state.step));
  replace_all(file, "{epoch}", std::to_string(epochs));
  save_checkpoint(file, {state.model, state.optimizer, *state.hooks}, state.progress);
}

}  // namespace espalier::nn
