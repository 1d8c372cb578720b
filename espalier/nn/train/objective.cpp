// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/objective.h>

#include <espalier/autograd/ops.h>

namespace espalier::nn {

Variable class_rows(const Variable& logits) {
  if (logits.rank() != 3) return logits;
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
