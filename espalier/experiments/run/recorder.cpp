// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/recorder.h>

#include <utility>

#include <fmt/format.h>

#include <espalier/core/error.h>
#include <espalier/core/finite.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/run/checkpoint_seconds.h>
#include <espalier/nn/introspect/counting.h>

namespace espalier::experiments {

// A running variance overflows without the loss of training showing it.
void check_network(nn::Module& model, const std::string& when) {
  const auto found = find_not_finite(model.state_dict());
  ESPALIER_CHECK(!found,
                 ValueError,
                 "train: after ",
                 when,
                 " ",
                 found->str(),
                 "; expected finite numbers. A lower learning rate, warm-up or --clip-norm may "
                 "help");
}

Recorder::Recorder(RunFolder& folder,
                   Network& network,
                   data::Loader& test,
                   nn::TrainingParts parts,
                   int64_t checkpoint_every,
                   int64_t epochs,
                   Progress& progress)
    : folder_(folder),
      network_(network),
      test_(test),
      parts_(std::move(parts)),
      checkpoint_every_(checkpoint_every),
      epochs_(epochs),
      progress_(progress) {}

void Recorder::continue_from(const SafetensorsFile& checkpoint) {
  metrics_ = RunFolder::checkpoint_metrics(checkpoint);
  seconds_before_ = checkpoint_seconds(checkpoint);
  folder_.write_metrics(metrics_);
}

double Recorder::seconds() const {
  const auto here = std::chrono::steady_clock::now() - start_;
  return seconds_before_ + std::chrono::duration<double>(here).count();
}

void Recorder::after_step(nn::TrainState& state) {
  has_stepped_ = true;
  progress_.update(state.step + state.progress.repeated,
                   fmt::format("epoch {}/{}  loss {:.4f}  accuracy {:.4f}",
                               metrics_.size() + 1,
                               epochs_,
                               state.loss,
                               state.accuracy));
  const bool within_epoch = state.step % state.steps_per_epoch != 0;
  if (checkpoint_every_ > 0 && state.step % checkpoint_every_ == 0 && within_epoch) {
    check_network(state.model, cat("step ", state.step));
    save(state);
  }
}

void Recorder::end_of_epoch(nn::TrainState& state) {
  const std::string epoch = cat("epoch ", metrics_.size() + 1);
  check_network(state.model, epoch);
  const nn::Evaluation test = nn::evaluate(state.model, test_);
  check_evaluation(test, "train: evaluation after " + epoch);
  metrics_.push_back({.epoch = static_cast<int64_t>(metrics_.size()) + 1,
                      .step = state.step + state.progress.repeated,
                      .lr = state.optimizer.lr(),
                      .train_loss = state.loss,
                      .train_accuracy = state.accuracy,
                      .test_loss = test.loss,
                      .test_accuracy = test.accuracy(),
                      .sparsity = nn::count_model(state.model, network_.sample()).sparsity(),
                      .seconds = seconds()});
  save(state);
  const EpochMetrics& line = metrics_.back();
  progress_.line(fmt::format(
      "epoch {}/{}  lr {:.4g}  train loss {:.4f} accuracy {:.4f}  test loss {:.4f} accuracy "
      "{:.4f}  sparsity {:.4f}  {}",
      line.epoch,
      epochs_,
      line.lr,
      line.train_loss,
      line.train_accuracy,
      line.test_loss,
      line.test_accuracy,
      line.sparsity,
      clock_text(line.seconds)));
}

void Recorder::save(const nn::TrainState& state) {
  SafetensorsFile checkpoint = nn::take_checkpoint(parts_, state.progress);
  set_checkpoint_seconds(checkpoint, seconds());
  folder_.save_checkpoint(std::move(checkpoint), metrics_);
}

}  // namespace espalier::experiments
