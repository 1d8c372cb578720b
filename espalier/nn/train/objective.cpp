// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/objective.h>

#include <espalier/autograd/ops.h>

namespace espalier::nn {

Variable class_rows(const Variable& logits) {
  if (logits.rank() != 3) return logits;
  return reshape(logits, {logits.size(0) * logits.size(1), logits.size(2)});
}

Variable batch_cross_entropy(const Variable& logits,
                             const data::Batch& batch,
                             double label_smoothing) {
  if (!batch.shares.defined()) return cross_entropy(logits, batch.labels, label_smoothing);
  ESPALIER_CHECK(logits.shape() == batch.shares.shape(),
                 ShapeError,
                 "batch_cross_entropy: mixed samples have shares ",
                 batch.shares.shape(),
                 " of the classes, but the logits are ",
                 logits.shape());
  const Variable given(batch.shares.to(logits.dtype()));
  const Variable shares =
      given * (1.0 - label_smoothing) + label_smoothing / static_cast<double>(logits.size(1));
  return sum(shares * log_softmax(logits)) * (-1.0 / static_cast<double>(logits.size(0)));
}

StepLoss CrossEntropy::loss(Module& model, const data::Batch& batch) {
  const Variable logits = class_rows(model(Variable(batch.images)));
  return {batch_cross_entropy(logits, batch, label_smoothing_), logits};
}

StepLoss LogitLoss::loss(Module& model, const data::Batch& batch) {
  const Variable logits = class_rows(model(Variable(batch.images)));
  return {function_(logits, batch), logits};
}

}  // namespace espalier::nn
