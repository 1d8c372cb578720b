// SPDX-License-Identifier: Apache-2.0
/// A mask update whose layers keep what a search has found. Not a public interface: mask_update
/// does it for parts with a search.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <espalier/prune/update/update.h>

namespace espalier::prune {

/// The allocation that `parts.search` finds for `start`, an update that has chosen nothing yet:
/// every candidate is made of a copy of the network by the update's scores, costs what the target
/// counts, and is judged by an oracle. `rng` is of this update. Says what was found in `notes`.
std::shared_ptr<const Allocation> searched_allocation(
    const UpdateParts& parts,
    const Subject& subject,
    const MaskUpdate& start,
    const std::vector<std::vector<double>>& scores,
    const Moment& moment,
    Rng rng,
    std::vector<std::string>& notes);

}  // namespace espalier::prune
