// SPDX-License-Identifier: Apache-2.0
/// The outputs of a network (classes) stay: whatever a structured pattern removes, something is
/// left of every row of the weights that make them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <espalier/core/random.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/structure/flow_graph.h>

namespace espalier::prune {

/// Leaves out the sites of which a unit would be an output of the network: all weights of a row
/// that makes it. They are noted by name. The other sites that make outputs learn which units are
/// parts of them (`Site::outputs`). For patterns other than `unstructured` and N:M. Throws
/// ValueError when no site is left, and when `graph` is null.
void keep_outputs(const FlowGraph* graph,
                  std::vector<Site>& sites,
                  std::vector<std::string>& notes);

/// 1 for the best candidate of every output that the site makes (by score, then the lower index);
/// an output without candidates has none. A unit of several outputs is for all of them. Empty when
/// the site makes no outputs.
std::vector<uint8_t> units_of_outputs(const Site& site,
                                      std::span<const double> scores,
                                      std::span<const uint8_t> candidates);

/// As many flags as in `chosen`, these if every output has one of them; else outputs without get a
/// candidate at random, each in the place of a random one that no output needs.
std::vector<uint8_t> with_outputs(const Site& site,
                                  const std::vector<uint8_t>& chosen,
                                  std::span<const uint8_t> candidates,
                                  Rng rng);

}  // namespace espalier::prune
