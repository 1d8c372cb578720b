// SPDX-License-Identifier: Apache-2.0
/// What transforms share that mix the samples of a batch with one another. Not a public interface.
#pragma once

#include <functional>

#include <espalier/core/random.h>
#include <espalier/data/batch.h>

namespace espalier::data::detail {

/// A number in 0 .. 1 of the distribution Beta(alpha, alpha), alpha > 0. Source: Marsaglia, Tsang,
/// "A simple method for generating gamma variables", 2000.
double draw_beta(Rng& rng, double alpha);

/// Throws ValueError naming `op` unless alpha is above 0 and finite.
void check_alpha(const std::string& op, double alpha);

/// Calls `mix(own, other)` with the C*H*W values of each sample, which it changes, and of its
/// partner, the sample before it (of the first: the last) as it was.
void with_partners(
    Tensor& images,
    const std::function<void(std::span<float> own, std::span<const float> other)>& mix);

/// Gives each sample `own_share` of its own labels and the rest of its partner's.
void mix_labels(Batch& batch, int64_t classes, double own_share);

}  // namespace espalier::data::detail
