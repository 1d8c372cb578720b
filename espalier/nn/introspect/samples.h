// SPDX-License-Identifier: Apache-2.0
/// What a sample is to whoever runs a network without data, in order to trace or count.
#pragma once

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// True for a network with an embedding, which reads tokens (N,T) int64, not numbers.
bool reads_tokens(Module& model);

/// `count` samples of zeros as `model` reads them, each of the shape `sample`: float32 in the plain
/// layout, (count,C,H,W) of images, or int64 (count,T) of tokens.
Tensor zero_samples(Module& model, const Shape& sample, int64_t count = 1);

}  // namespace espalier::nn
