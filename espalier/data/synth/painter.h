// SPDX-License-Identifier: Apache-2.0
/// One picture of SynthDigits from one random generator. Not a public interface.
#pragma once

#include <cstdint>
#include <span>

#include <espalier/core/random.h>
#include <espalier/data/synth/canvas.h>

namespace espalier::data::synth {

/// Paints a picture of `digit` (0..9) into 3x32x32 bytes, planes R, G, B.
void paint(int digit, Rng& rng, std::span<uint8_t, 3 * kSide * kSide> pixels);

}  // namespace espalier::data::synth
