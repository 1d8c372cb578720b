// SPDX-License-Identifier: Apache-2.0
/// Normalizations and dropout.
#pragma once

#include <espalier/autograd/variable.h>
#include <espalier/core/random.h>

namespace espalier {

/// Running statistics of a batch norm: plain float tensors (C), updated in place while training.
struct RunningStats {
  Tensor mean;  ///< running mean
  Tensor var;   ///< running variance
};

/// What batch norm does besides normalizing.
struct BatchNormOptions {
  /// Use the batch's statistics and update the running ones; else use the running ones.
  bool training = true;
  /// running = (1 - momentum) * running + momentum * batch (variance with n-1).
  double momentum = 0.1;
  double eps = 1e-5;  ///< added to the variance
  /// Apply max(.., 0) in the same pass.
  bool relu = false;
};

/// y = gamma * (x - mean) / sqrt(var + eps) + beta per channel, x (N,C,H,W) or (N,C), in x's
/// layout. `running` may be null in training. A `residual` of x's shape is added before the ReLU,
/// in the same pass over memory. Source: Ioffe, Szegedy, arXiv:1502.03167.
Variable batch_norm(const Variable& x,
                    const Variable& gamma,
                    const Variable& beta,
                    RunningStats* running,
                    const BatchNormOptions& options = {},
                    const Variable& residual = {});

/// Normalizes over the last `gamma.rank()` dimensions. Plain result. Source: arXiv:1607.06450.
Variable layer_norm(const Variable& x,
                    const Variable& gamma,
                    const Variable& beta,
                    double eps = 1e-5);

/// Normalizes each sample over the channels of a group; gamma, beta (C). Source: arXiv:1803.08494.
Variable group_norm(const Variable& x,
                    int64_t groups,
                    const Variable& gamma,
                    const Variable& beta,
                    double eps = 1e-5);

/// Sets each element to 0 with probability p and scales the rest by 1/(1-p). Element i (logical
/// row-major) depends only on (rng state, i); `rng` is advanced by one use. Identity for p = 0.
Variable dropout(const Variable& x, double p, Rng& rng);

}  // namespace espalier
