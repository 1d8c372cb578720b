// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/ops.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {

Option scoring_mode_option(ScoringMode default_mode) {
  const bool eval = default_mode == ScoringMode::Eval;
  return choice_option(
      "scoring-mode",
      eval ? std::vector<std::string>{"eval", "train"} : std::vector<std::string>{"train", "eval"},
      "batch norm while scoring: running statistics (eval), or those of the batch, with dropout "
      "(train)");
}

ScoringMode scoring_mode(const OptionValues& options) {
  return options.text("scoring-mode") == "train" ? ScoringMode::Train : ScoringMode::Eval;
}

data::Batch scoring_batch(const ScoreContext& context, int64_t index) {
  ESPALIER_CHECK(context.inputs.batch,
                 ValueError,
                 "score: needs training data; set PruneInputs::batch, or prune inside of fit()");
  return context.inputs.batch(index);
}

std::vector<Tensor> dense_gradients(const ScoreContext& context,
                                    const data::Batch& batch,
                                    ScoringMode mode) {
  const RecordingScope recording(true);
  const std::unique_ptr<nn::Module> copy = context.model.clone();
  copy->train(mode == ScoringMode::Train);
  std::vector<Variable> weights;
  for (const ScoredWeight& weight : context.weights) {
    nn::Parameter& parameter = copy->parameter(weight.name);
    parameter.grad_request = sparse::GradRequest::Dense;
    weights.push_back(parameter.value);
  }
  const Variable logits = (*copy)(Variable(batch.images));
  const Variable loss = context.inputs.loss ? context.inputs.loss(logits, batch.labels)
                                            : cross_entropy(logits, batch.labels);
  std::vector<Tensor> gradients;
  for (const Variable& gradient : grad({loss}, weights)) {
    gradients.push_back(as_double(gradient.value()));
  }
  return gradients;
}

std::function<data::Batch(int64_t index)> batches_like(const data::Loader& loader) {
  data::LoaderOptions options = loader.options();
  options.workers = 0;
  const std::shared_ptr<const data::Dataset> borrowed(std::shared_ptr<void>(), &loader.dataset());
  const auto own = std::make_shared<data::Loader>(borrowed, options);
  return [own](int64_t index) {
    own->start_epoch(index / own->batches(), index % own->batches());
    return own->next().value();
  };
}

}  // namespace espalier::prune
