// SPDX-License-Identifier: Apache-2.0
/// Softmax and losses. Losses reduce to a scalar mean over the batch unless said otherwise.
#pragma once

#include <optional>

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
/// What of a classification counts, and how much.
struct NllLossOptions {
  /// A factor for each class, (C), floating, finite and not negative: a sample counts as often as
  /// its label's class says, and a mean divides by the sum of these factors. Undefined: all 1.
  Tensor class_weights = {};
  /// Samples with this label cost 0 and are left out of the mean; none unless set. PyTorch's
  /// default is -100, where other labels below 0 are errors.
  std::optional<int64_t> ignore_index = {};
  Reduction reduction = Reduction::Mean;  ///< over the samples
};
/// The same with class weights and ignored samples, as PyTorch's; the mean of no sample is NaN.
Variable nll_loss(const Variable& log_probabilities,
                  const Tensor& target,
                  const NllLossOptions& options);
/// Softmax cross-entropy of logits (N,C) and target int64 (N): the target distribution is
/// (1-s) one-hot + s/C with label smoothing s. Source of smoothing: arXiv:1512.00567.
Variable cross_entropy(const Variable& logits,
                       const Tensor& target,
                       double label_smoothing = 0.0,
                       Reduction reduction = Reduction::Mean);
/// Settings of a cross-entropy; see NllLossOptions.
struct CrossEntropyOptions {
  Tensor class_weights = {};                 ///< (C); undefined: all 1
  std::optional<int64_t> ignore_index = {};  ///< samples with this label don't count
  double label_smoothing = 0.0;              ///< s in [0,1]
  Reduction reduction = Reduction::Mean;     ///< over the samples
};
/// The same with class weights w and ignored samples. With smoothing, as PyTorch defines it, sample
/// n of label t costs -(1-s) w_t log p_t - s/C sum_c w_c log p_c, and the mean divides by the sum
/// of w_t over the samples that count; the mean of none is NaN.
Variable cross_entropy(const Variable& logits,
                       const Tensor& target,
                       const CrossEntropyOptions& options);
/// (a - b)^2, mean over all elements.
Variable mse_loss(const Variable& a, const Variable& b, Reduction reduction = Reduction::Mean);
/// sum over classes of p * (log p - log_q), mean over the batch; p and log_q (N,C).
Variable kl_divergence(const Variable& log_q, const Variable& p);
/// Binary cross-entropy of logits and targets in [0,1], of one shape; mean over all elements.
Variable bce_with_logits(const Variable& logits, const Variable& target);

}  // namespace espalier
