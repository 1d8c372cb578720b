// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/repair/repair.h>

namespace espalier::prune {

std::vector<uint8_t> Repair::repair(const RepairContext&, const Site&, int64_t) {
  throw NotImplemented("prune: this repair follows the choice of a score");
}

void Repair::refit(const RepairContext&,
                   std::span<const Site>,
                   std::span<const std::vector<uint8_t>>) {
  throw NotImplemented("prune: this repair chooses by itself");
}

}  // namespace espalier::prune
