// SPDX-License-Identifier: Apache-2.0
/// SynthDigits: 32x32 colour pictures of digits like house numbers, drawn by our own code. The
/// embedded default data set: nothing to download, and no file of it exists. Hard enough for
/// pictures to matter: a linear classifier on the pixels stays under 60 % (tested).
///
/// Source: ours; the task (the middle digit counts, neighbours are cut off) is that of SVHN, Netzer
/// et al. 2011.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include <espalier/data/dataset.h>

namespace espalier::data {

/// Sizes that `open_dataset("synth", ...)` gives.
inline constexpr int64_t kSynthTrainSize = 50000;
inline constexpr int64_t kSynthTestSize = 10000;  ///< Pictures of the test split.

/// The digit of picture `index`: each ten consecutive pictures show the ten digits in a random
/// order.
int64_t synth_label(uint64_t seed, Split split, int64_t index);

/// Draws picture `index` into `pixels` (3x32x32, planes R, G, B). A pure function of its arguments,
/// with the same bits on every machine with IEEE arithmetic: no libm, no contraction of products
/// and sums assumed. Throws ValueError when `pixels` has another size or the index is negative.
void draw_synth(uint64_t seed, Split split, int64_t index, std::span<uint8_t> pixels);

/// Pictures 0..size-1 as a data set. A picture is drawn when first read and then kept (3 KB each).
/// Throws ValueError for a negative size.
std::shared_ptr<const Dataset> make_synth(Split split, uint64_t seed, int64_t size);
/// The same with the usual size of the split.
std::shared_ptr<const Dataset> make_synth(Split split, uint64_t seed);

}  // namespace espalier::data
