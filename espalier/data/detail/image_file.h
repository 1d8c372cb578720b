// SPDX-License-Identifier: Apache-2.0
/// Decoding of PNG, JPEG, WebP and BMP. Not a public interface.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include <espalier/data/dataset.h>

namespace espalier::data::detail {

/// Height and width of a picture.
struct ImageSize {
  int64_t height = 0;
  int64_t width = 0;
  bool operator==(const ImageSize&) const = default;
};

/// A picture as rows of red, green, blue bytes.
struct RgbImage {
  ImageSize size;
  std::vector<uint8_t> pixels;  ///< height * width * 3
};

/// The size that the header of a picture gives, whose kind its first bytes tell. Throws IoError
/// naming the path when it can't be read, is no such file, or is larger than 64 megapixels or than
/// its bytes can hold.
ImageSize image_size(const std::filesystem::path& path);

/// The decoded picture. Throws IoError as `image_size`, and when the data is broken.
RgbImage decode_image(const std::filesystem::path& path);

/// Cut around the centre to the aspect of `size`, then scaled to it: each pixel is the mean of the
/// area that it covers (enlarging: the nearest pixel's).
RgbImage fit_image(const RgbImage& image, ImageSize size);
/// The same of rows of pixels with `channels` bytes each: `in` of the size `from` to `out` of the
/// size `to`, which must not overlap.
void fit_pixels(const uint8_t* in, ImageSize from, int64_t channels, uint8_t* out, ImageSize to);

/// The picture of a file as a data set holds it, fitted to the shape: planes of three colours, or
/// one of brightness (0.299 red, 0.587 green, 0.114 blue, rounded; ITU-R BT.601). `pixels` has room
/// for it. Throws as decode_image, and ValueError for other numbers of channels.
void read_picture(const std::filesystem::path& path,
                  const ImageShape& shape,
                  std::span<uint8_t> pixels);

}  // namespace espalier::data::detail
