// SPDX-License-Identifier: Apache-2.0
/// What a sample is to whoever runs a network without data, in order to trace or count: the shape
/// (C,H,W) of an image, or (T) of a text.
#pragma once

#include <espalier/core/tensor.h>

namespace espalier::nn {

/// `count` samples of zeros: float32 (count,C,H,W) in the plain layout, or tokens, int64 (count,T).
/// Throws ShapeError for a sample of another rank.
Tensor zero_samples(const Shape& sample, int64_t count = 1);

}  // namespace espalier::nn
