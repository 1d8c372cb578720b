// SPDX-License-Identifier: Apache-2.0
/// Changes of an image's bytes by what each byte is, channel by channel. As torchvision computes
/// them for uint8. Not a public interface.
#pragma once

#include <espalier/data/augment/transform.h>

namespace espalier::data::detail {

/// Keeps the `bits` most significant bits, 0 .. 8.
void posterize(TrainingImage& image, int bits);
/// Values of at least `threshold` become 255 less themselves.
void solarize(TrainingImage& image, double threshold);
/// The least value of a channel becomes 0 and the largest 255, the others in proportion, rounded
/// down; a channel of one value stays.
void stretch_contrast(TrainingImage& image);
/// Each value of a channel becomes the share of pixels below it, so that all values are about
/// equally frequent.
void equalize(TrainingImage& image);

}  // namespace espalier::data::detail
