// SPDX-License-Identifier: Apache-2.0
/// Masks of the verbs' networks: those of another file, and those that zeros stand for.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <espalier/experiments/inputs/networks.h>

namespace espalier::experiments {

/// Sets the masks of a file of ours, as of a pruned run, on a network, whose values stay what they
/// are elsewhere. With `elastic` the file may be of another depth. A classifier for another number
/// of classes stays dense, which the returned notes tell. Throws IoError for a bad file, ValueError
/// for one without masks and for masks that don't fit.
std::vector<std::string> take_masks(const std::filesystem::path& path,
                                    Network& network,
                                    std::optional<prune::BlockOrder> elastic = std::nullopt);

/// What zeros of prunable weights without masks are, of a network read from `file`: with `mask`
/// they become masks, so that they stay zero and cost nothing; else, when there are many, the
/// returned notes tell of them, for they train and run like any other weight. Throws ValueError
/// for `mask` where there are none.
std::vector<std::string> heed_zeros(const std::filesystem::path& file, Network& network, bool mask);

}  // namespace espalier::experiments
