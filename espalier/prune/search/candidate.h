// SPDX-License-Identifier: Apache-2.0
/// Candidate: what a search tries, a number for each place of a network: the share of a layer's
/// units that stays, a choice of several, a factor of its scores. What the numbers mean is told by
/// whoever makes a network of them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::prune {

/// A number for each place.
using Candidate = std::vector<double>;

/// What a search or an oracle remembers, by name, for files.
using SearchState = std::map<std::string, Tensor>;

}  // namespace espalier::prune
