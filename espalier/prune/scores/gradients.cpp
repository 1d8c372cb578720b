// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/ops.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {

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

}  // namespace espalier::prune
