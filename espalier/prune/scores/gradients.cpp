// SPDX-License-Identifier: Apache-2.0
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
  return Landscape(
             context.model,
             context.weights,
             context.inputs,
             {.mode = mode, .gradients = sparse::GradRequest::Dense, .masks = context.update.masks})
      .gradient(batch);
}

}  // namespace espalier::prune
