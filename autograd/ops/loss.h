// SPDX-License-Identifier: Apache-2.0
/// Softmax and losses. Losses reduce to a scalar mean over the batch unless said otherwise.
#pragma once

#include <espalier/autograd/variable.h>

namespace espalier {

/// How a loss is reduced over its elements.
enum class Reduction : uint8_t { Mean, Sum, None };

/// e^a / sum e^a along `dim`, without overflow. Keeps `Nchw16n` when dim is not 0.
Variable softmax(const Variable& a, int dim = -1);
/// log(softmax(a)) along `dim`, without overflow. Keeps `Nchw16n` when dim is not 0.
Variable log_softmax(const Variable& a, int dim = -1);
/// -log_probabilities[n, target[n]]; log_probabilities (N,C), target int64 (N) in 0..C-1
/// (ValueError).
Variable nll_loss(const Variable& log_probabilities,
                  const Tensor& target,
                  Reduction reduction = Reduction::Mean);
/// Softmax cross-entropy of logits (N,C) and target int64 (N): the target distribution is
/// (1-s) one-hot + s/C with label smoothing s. Source of smoothing: arXiv:1512.00567.
Variable cross_entropy(const Variable& logits,
                       const Tensor& target,
                       double label_smoothing = 0.0,
                       Reduction reduction = Reduction::Mean);
/// (a - b)^2, mean over all elements.
Variable mse_loss(const Variable& a, const Variable& b, Reduction reduction = Reduction::Mean);
/// sum over classes of p * (log p - log_q), mean over the batch; p and log_q (N,C).
Variable kl_divergence(const Variable& log_q, const Variable& p);
/// Binary cross-entropy of logits and targets in [0,1], of one shape; mean over all elements.
Variable bce_with_logits(const Variable& logits, const Variable& target);

}  // namespace espalier
