// SPDX-License-Identifier: Apache-2.0
/// Gates on units: which weights a gate of a unit multiplies. A unit of one weight is gated where
/// it stands; a channel in the weights that read it, because batch norm would undo a gate on the
/// filters that make it, and because a gate there can be folded.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <espalier/prune/sites/site.h>

namespace espalier::prune {

/// True for the weights that a site's gates multiply.
bool is_gated(const Site& site, const SitePart& part);

/// A weight with the gates that multiply it.
struct GatedWeight {
  std::string name;                    ///< of the parameter
  nn::Parameter* parameter = nullptr;  ///< in the model
  size_t bank = 0;                     ///< where its gates are
  /// Dimension whose indices have gates; -1: every entry has its own, in their order.
  int dim = -1;
  std::vector<int64_t> gate_of = {};  ///< of every index of `dim`: its gate in the bank, or -1
};

/// Gates that belong together, because some weight is multiplied with several of them.
struct GateBanks {
  std::vector<int64_t> sizes;                   ///< gates of each
  std::vector<std::vector<std::string>> sites;  ///< of each, by name
  std::vector<GatedWeight> weights;             ///< each once, in the order of the sites
};

/// A gate per unit of every site. A site is a bank, or several are, where a weight reads the
/// channels of more than one (after a concatenation). Throws NotImplemented for units that are not
/// all weights of an index of a dimension.
GateBanks gate_banks(std::span<const Site> sites);

}  // namespace espalier::prune
