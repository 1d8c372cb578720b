// SPDX-License-Identifier: Apache-2.0
/// The layer that reads the channels of a site, for repairs that refit it: which of its columns
/// belong to which channel, and what each channel adds to its outputs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <espalier/prune/sites/site.h>

namespace espalier::prune {

/// The weight that reads a site's channels; null unless there is exactly one.
const SitePart* only_reader(const Site& site);

/// The site's channel that each column of the reader's matrix (curvature/layer_inputs.h) belongs
/// to; -1 for others.
std::vector<int64_t> channel_of_column(const SitePart& reader);

/// What channels add to the reader's outputs, x_c = vec(X_c W_cᵀ), one with another.
///
/// inputs   Xᵀ X of the reader's inputs, float64 (columns, columns), or a multiple of it.
/// weight   float64 (outputs, columns).
/// channel  of every column, as `channel_of_column` says.
/// Returns float64 (channels, channels + 1), the same multiple of x_cᵀ x_d; the last column is with
/// what the columns of no channel add.
Tensor contribution_gram(const Tensor& inputs,
                         const Tensor& weight,
                         std::span<const int64_t> channel,
                         int64_t channels);

}  // namespace espalier::prune
