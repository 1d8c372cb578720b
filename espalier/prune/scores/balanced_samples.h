// SPDX-License-Identifier: Apache-2.0
/// Balanced samples: equally many of every class, for scores whose papers draw them so.
#pragma once

#include <espalier/prune/scores/score.h>

namespace espalier::prune {

/// `per_class` samples of each of `classes` classes, sorted by class (in order of appearance within
/// one), from the context's batches `first_batch`, `first_batch` + 1, .. A class of which too few
/// turn up comes with fewer. When the context's batch is the only one, all of its samples, sorted
/// by class. Images in plain layout. Throws ValueError without data, or for labels outside of the
/// classes.
data::Batch balanced_samples(const ScoreContext& context,
                             int64_t classes,
                             int64_t per_class,
                             int64_t first_batch = 0);

/// The first half of a batch (rounded down) and the rest; without those that are empty.
std::vector<data::Batch> halves_of(const data::Batch& batch);

}  // namespace espalier::prune
