// SPDX-License-Identifier: Apache-2.0
/// A mask update whose layers are pruned one after another and get new values at once. Not a public
/// interface: mask_update does it for parts with a repair.
#pragma once

#include <espalier/prune/update/update.h>

namespace espalier::prune {

/// One update at `moment`, whose sites keep what `allocation` says. Nothing of the model has
/// changed when it throws.
UpdateReport repaired_update(const UpdateParts& parts,
                             const Allocation& allocation,
                             const Subject& subject,
                             const PruneSettings& settings,
                             const Moment& moment);

}  // namespace espalier::prune
