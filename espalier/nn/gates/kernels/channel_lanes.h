// SPDX-License-Identifier: Apache-2.0
/// The decisions of a channel gate (saliency.h has the formula) for sixteen samples in the
/// lanes of `Nchw16n`, and the lists of channels that any of them needs. Not a public interface.
#pragma once

#include <cstdint>

#include <espalier/core/tensor.h>

namespace espalier::nn::detail {

/// A gate's parameters, all plain float32.
struct ChannelGateParameters {
  Tensor phi;        ///< (K,C)
  Tensor rho;        ///< (K)
  int64_t kept = 1;  ///< k of the k largest saliencies
};

/// means[lane] = mean of |x| over `plane` vectors of sixteen lanes.
void magnitude_means(const float* x, int64_t plane, float* means);

/// pi (K,16) of `samples` <= 16 samples from their means (C,16): saliencies of the chosen channels,
/// zeros elsewhere and in lanes without a sample.
void decide_channels(const ChannelGateParameters& gate,
                     const float* means,
                     int64_t samples,
                     float* pi);

/// Writes the `channels` that are not zero in one of the first `samples` lanes of `values`, vectors
/// of sixteen for each channel, block behind block; ascending. Returns how many.
int64_t list_channels(const float* values, int64_t samples, int64_t channels, int32_t* list);

}  // namespace espalier::nn::detail
