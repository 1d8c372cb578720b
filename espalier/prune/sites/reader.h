// SPDX-License-Identifier: Apache-2.0
/// The layer that reads the channels of a site, for scores that look at it and repairs that refit
/// it: which of its columns belong to which channel.
#pragma once

#include <cstdint>
#include <vector>

#include <espalier/prune/sites/site.h>

namespace espalier::prune {

/// The weight that reads a site's channels; null unless there is exactly one.
const SitePart* only_reader(const Site& site);

/// The site's channel that each column of the reader's matrix (curvature/layer_inputs.h) belongs
/// to; -1 for others.
std::vector<int64_t> channel_of_column(const SitePart& reader);

}  // namespace espalier::prune
