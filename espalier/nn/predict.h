// SPDX-License-Identifier: Apache-2.0
/// predict(): a trained network on new samples. What it needs by itself: `EvalScope`
/// (nn/module/trace.h), dropout off and batch norms with their running statistics, and `NoGrad`
/// (autograd/variable.h), no tape.
#pragma once

#include <espalier/nn/module/trace.h>

namespace espalier::nn {

/// The name by which PyTorch's users look for `NoGrad`.
using NoGradScope = NoGrad;

/// The layout in which batches of images run fastest: `Nchw16n`, sixteen samples in the lanes, or
/// `Nchw` for a network with parts that compute something else for each sample (gates).
Layout batch_layout(Module& model);

/// What `model` says of `images`, in eval mode, without a tape, `batch_size` at a time: the results
/// of all samples in one plain tensor (N,..), for a classifier its logits (N,C). Training flags are
/// then what they were.
///
/// images  (N,C,H,W) float32 in any layout, normalized as in training; or whatever the model reads,
///         samples in the first dimension.
/// Throws  ValueError without samples or for a batch size below 1, ShapeError when the model does
///         not return a row for each sample.
Tensor predict(Module& model, const Tensor& images, int64_t batch_size = 256);

}  // namespace espalier::nn
