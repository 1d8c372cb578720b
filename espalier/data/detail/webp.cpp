// SPDX-License-Identifier: Apache-2.0
#include <webp/decode.h>

#include <espalier/core/error.h>
#include <espalier/data/detail/picture_formats.h>

namespace espalier::data::detail {
namespace {

ImageSize size(std::span<const uint8_t> bytes) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(bytes.data(), bytes.size(), &features) != VP8_STATUS_OK) {
    throw BadPicture("can't be decoded: its WebP header is broken or truncated");
  }
  if (features.has_animation != 0) {
    throw BadPicture("is an animated WebP; a sample is one picture");
  }
  return {features.height, features.width};
}

void decode(std::span<const uint8_t> bytes, RgbImage& image) {
  const auto stride = static_cast<int>(3 * image.size.width);
  if (WebPDecodeRGBInto(
          bytes.data(), bytes.size(), image.pixels.data(), image.pixels.size(), stride) ==
      nullptr) {
    throw BadPicture("can't be decoded: its WebP data is broken or truncated");
  }
}

}  // namespace

PictureFormat webp_format() {
  // A picture of one colour has no bits at all for its pixels.
  return {FileKind::WebP, int64_t{1} << 26, size, decode};
}

}  // namespace espalier::data::detail
