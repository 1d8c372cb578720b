// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/recorder.h>

#include <utility>

#include <fmt/format.h>

#include <espalier/core/error.h>
#include <espalier/core/finite.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/interrupt.h>
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
                   const nn::Validation* validation,
                   nn::TrainingParts parts,
                   int64_t checkpoint_every,
                   int64_t epochs,
                   Progress& progress)
    : folder_(folder),
      network_(network),
      test_(test),
      validation_(validation),
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

// Scores may have taken long to find.
void Recorder::before_training(nn::TrainState& state) {
  heed_interrupt(state, false);
}

void Recorder::after_step(nn::TrainState& state) {
  has_stepped_ = true;
  progress_.update(state.step + state.progress.repeated,
                   {epoch_part(),
                    {fmt::format("loss {:.4f}", state.loss), 2},
                    {fmt::format("accuracy {:.4f}", state.accuracy), 3}});
  const bool within_epoch = state.step % state.steps_per_epoch != 0;
  const bool due = checkpoint_every_ > 0 && state.step % checkpoint_every_ == 0 && within_epoch;
  if (due) {
    check_network(state.model, cat("step ", state.step));
    save(state);
  }
  heed_interrupt(state, due);
}

void Recorder::end_of_epoch(nn::TrainState& state) {
  const std::string epoch = cat("epoch ", metrics_.size() + 1);
  const LinePart part = epoch_part();
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
  if (validation_ != nullptr) {
    const nn::Evaluation& held_out = validation_->newest();
    check_evaluation(held_out, "train: validation after " + epoch);
    metrics_.back().validation_loss = held_out.loss;
    metrics_.back().validation_accuracy = held_out.accuracy();
  }
  save(state);
  const EpochMetrics& line = metrics_.back();
  const std::string held_out =
      validation_ == nullptr
          ? ""
          : fmt::format(" validation {:.4f}", line.validation_accuracy.value_or(0.0));
  progress_.line(std::vector<LinePart>{
      part,
      {fmt::format("lr {:<7.4g}", line.lr), 5},
      {fmt::format("train loss {:.4f} accuracy {:.4f}", line.train_loss, line.train_accuracy), 4},
      {fmt::format(
          "test loss {:.4f} accuracy {:.4f}{}", line.test_loss, line.test_accuracy, held_out)},
      {fmt::format("sparsity {:.4f}", line.sparsity), 2},
      {clock_text(line.seconds), 3}});
  heed_interrupt(state, true);
}

LinePart Recorder::epoch_part() const {
  const std::string all = std::to_string(epochs_);
  return {fmt::format("epoch {:{}}/{}", metrics_.size() + 1, all.size(), all)};
}

void Recorder::heed_interrupt(const nn::TrainState& state, bool saved) {
  if (!is_interrupted()) return;
  const int64_t done = state.step + state.progress.repeated;
  if (!saved) {
    check_network(state.model, cat("step ", done));
    save(state);
  }
  throw Interrupted{cat("after step ", done, ", which ", folder_.path().string(), " holds")};
}

void Recorder::save(const nn::TrainState& state) {
  SafetensorsFile checkpoint = nn::take_checkpoint(parts_, state.progress);
  set_checkpoint_seconds(checkpoint, seconds());
  folder_.save_checkpoint(std::move(checkpoint), metrics_);
}

}  // namespace espalier::experiments
