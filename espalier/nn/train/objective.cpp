// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/objective.h>

#include <espalier/autograd/ops.h>

namespace espalier::nn {

Variable class_rows(const Variable& logits) {
  ESPALIER_CHECK(logits.rank() == 2 || logits.rank() == 3,
                 ShapeError,
                 "a model's answers: expects logits (N,C), or (N,T,C) of a text, got ",
                 logits.shape());
  if (logits.rank() == 2) return logits;
  return reshape(logits, {logits.size(0) * logits.size(1), logits.size(2)});
}

StepLoss CrossEntropy::loss(Module& model, const data::Batch& batch) {
  const Variable logits = class_rows(model(Variable(batch.images)));
  return {cross_entropy(logits, batch.labels, label_smoothing_), logits};
}

StepLoss LogitLoss::loss(Module& model, const data::Batch& batch) {
  const Variable logits = class_rows(model(Variable(batch.images)));
  return {function_(logits, batch), logits};
}

}  // namespace espalier::nn
