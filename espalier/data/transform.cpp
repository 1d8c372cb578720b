// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/transform.h>

#include <algorithm>

#include <espalier/core/error.h>

namespace espalier::data {
namespace {

Rng stream(uint64_t seed, std::string_view purpose, int64_t epoch, int64_t index) {
  return Rng(seed, purpose).fork(static_cast<uint64_t>(epoch)).fork(static_cast<uint64_t>(index));
}

int64_t draw(Rng& rng, int64_t n) {
  return static_cast<int64_t>(rng.below(static_cast<uint64_t>(n)));
}

}  // namespace

Placement draw_placement(const Augmentation& augmentation,
                         const ImageShape& shape,
                         uint64_t seed,
                         int64_t epoch,
                         int64_t index) {
  ESPALIER_CHECK(augmentation.crop_padding >= 0 && augmentation.cutout >= 0,
                 ValueError,
                 "augmentation: expects crop_padding >= 0 and cutout >= 0, got ",
                 augmentation.crop_padding,
                 " and ",
                 augmentation.cutout);
  Placement out;
  if (augmentation.crop_padding > 0) {
    Rng rng = stream(seed, "augment/crop", epoch, index);
    out.shift_y = draw(rng, 2 * augmentation.crop_padding + 1) - augmentation.crop_padding;
    out.shift_x = draw(rng, 2 * augmentation.crop_padding + 1) - augmentation.crop_padding;
  }
  if (augmentation.horizontal_flip) {
    Rng rng = stream(seed, "augment/flip", epoch, index);
    out.mirror = draw(rng, 2) == 1;
  }
  if (augmentation.cutout > 0) {
    Rng rng = stream(seed, "augment/cutout", epoch, index);
    const int64_t top = draw(rng, shape.height) - augmentation.cutout / 2;
    const int64_t left = draw(rng, shape.width) - augmentation.cutout / 2;
    out.cutout = {std::max<int64_t>(top, 0),
                  std::max<int64_t>(left, 0),
                  std::min(top + augmentation.cutout, shape.height),
                  std::min(left + augmentation.cutout, shape.width)};
  }
  return out;
}

void crop_and_mirror(std::span<const uint8_t> in,
                     const ImageShape& shape,
                     const Placement& placement,
                     std::span<uint8_t> out) {
  const int64_t height = shape.height;
  const int64_t width = shape.width;
  // Columns of the result, before mirroring, that show the image and not the padding.
  const int64_t begin = std::clamp<int64_t>(-placement.shift_x, 0, width);
  const int64_t end = std::clamp<int64_t>(width - placement.shift_x, begin, width);
  for (int64_t c = 0; c < shape.channels; ++c) {
    for (int64_t y = 0; y < height; ++y) {
      uint8_t* row = out.data() + (c * height + y) * width;
      const int64_t source_y = y + placement.shift_y;
      if (source_y < 0 || source_y >= height || begin == end) {
        std::fill_n(row, width, uint8_t{0});
        continue;
      }
      const uint8_t* source = in.data() + (c * height + source_y) * width + placement.shift_x;
      std::fill(row, row + begin, uint8_t{0});
      std::copy(source + begin, source + end, row + begin);
      std::fill(row + end, row + width, uint8_t{0});
      if (placement.mirror) std::reverse(row, row + width);
    }
  }
}

}  // namespace espalier::data
