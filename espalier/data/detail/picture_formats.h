// SPDX-License-Identifier: Apache-2.0
/// The formats of pictures, each over the library that is kept for it. Not a public interface.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include <espalier/core/file_kind.h>
#include <espalier/data/detail/image_file.h>

namespace espalier::data::detail {

/// What is wrong with a picture, as the end of a sentence that begins with its path.
class BadPicture : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Readers of one format. Both throw BadPicture.
struct PictureFormat {
  FileKind kind;
  int64_t most_pixels_per_byte;  ///< a file can't hold more
  /// The size that the header gives, at most 2^31 a side.
  ImageSize (*size)(std::span<const uint8_t> bytes);
  /// Fills `image.pixels`, which are zero and have room for the size that `size` gave: every pixel
  /// comes from the file, or BadPicture is thrown. Grey is read as colour, transparency is dropped.
  void (*decode)(std::span<const uint8_t> bytes, RgbImage& image);
};

/// JPEG by libjpeg-turbo. Damaged and cut data is an error and not filled in. CMYK and YCCK with
/// Adobe's mark become RGB as Pillow makes it; four colours without it are refused, for nothing
/// tells whether they are inverted.
PictureFormat jpeg_format();
/// PNG by libpng, of any depth.
PictureFormat png_format();
/// WebP by libwebp; animations are refused.
PictureFormat webp_format();
/// BMP by stb_image, uncompressed.
PictureFormat bmp_format();

/// All of them.
const std::vector<PictureFormat>& picture_formats();

}  // namespace espalier::data::detail
