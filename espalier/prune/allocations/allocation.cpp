// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/error.h>
#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {

std::unique_ptr<Allocation> make_allocation(const std::string& name) {
  if (name == "global") return global_allocation();
  if (name == "uniform") return uniform_allocation();
  if (name == "uniform-dense-first") return uniform_allocation(FirstLayer::Dense);
  if (name == "er") return erdos_renyi_allocation(ErdosRenyi::Channels);
  if (name == "isomorphic") return isomorphic_allocation();
  if (name == "erk") return erdos_renyi_allocation(ErdosRenyi::Kernel);
  throw ValueError(cat("allocation: unknown name '",
                       name,
                       "'. Known: global, uniform, uniform-dense-first, er, erk, isomorphic"));
}

}  // namespace espalier::prune
