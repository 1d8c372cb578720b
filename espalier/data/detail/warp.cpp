// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/warp.h>

#include <cmath>
#include <numbers>

namespace espalier::data::detail {

AffineMap rotation_map(const ImageShape& shape, double degrees) {
  const double angle = degrees * std::numbers::pi / 180.0;
  const double c = std::cos(angle);
  const double s = std::sin(angle);
  const double x = static_cast<double>(shape.width) / 2.0;
  const double y = static_cast<double>(shape.height) / 2.0;
  // Rows count downwards, so that this turns counterclockwise for the eye.
  return {.xx = c, .xy = -s, .x0 = x - c * x + s * y, .yx = s, .yy = c, .y0 = y - s * x - c * y};
}

void warp(TrainingImage& image, const AffineMap& map) {
  const ImageShape& shape = image.shape;
  const int64_t plane = shape.height * shape.width;
  const std::vector<uint8_t> in(image.pixels.begin(), image.pixels.end());
  // A middle that should fall on the border between two pixels belongs to the second one, whatever
  // sines and cosines were rounded to.
  constexpr double kRounding = 1e-9;
  for (int64_t y = 0; y < shape.height; ++y) {
    for (int64_t x = 0; x < shape.width; ++x) {
      const double dx = static_cast<double>(x) + 0.5;
      const double dy = static_cast<double>(y) + 0.5;
      const double from_x = std::floor(map.xx * dx + map.xy * dy + map.x0 + kRounding);
      const double from_y = std::floor(map.yx * dx + map.yy * dy + map.y0 + kRounding);
      const bool inside = from_x >= 0.0 && from_x < static_cast<double>(shape.width) &&
                          from_y >= 0.0 && from_y < static_cast<double>(shape.height);
      const int64_t from =
          inside ? static_cast<int64_t>(from_y) * shape.width + static_cast<int64_t>(from_x) : 0;
      for (int64_t c = 0; c < shape.channels; ++c) {
        image.pixels[static_cast<size_t>(c * plane + y * shape.width + x)] =
            inside ? in[static_cast<size_t>(c * plane + from)] : uint8_t{0};
      }
    }
  }
}

}  // namespace espalier::data::detail
