// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/image_file.h>

#include <algorithm>
#include <cstring>
#include <string>

#include <espalier/core/error.h>
#include <espalier/core/file_kind.h>
#include <espalier/core/io.h>
#include <espalier/data/detail/file_checks.h>
#include <espalier/data/detail/picture_formats.h>

namespace espalier::data::detail {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 28;
constexpr int64_t kMaxPixels = int64_t{1} << 26;

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& text) {
  throw IoError(cat("image: ", path.string(), " ", text));
}

struct Opened {
  std::vector<uint8_t> bytes;
  const PictureFormat* format = nullptr;
  ImageSize size;
};

Opened open(const std::filesystem::path& path) {
  check_readable(path, "image");
  Opened out{.bytes = read_file(path, "image", kMaxFileBytes), .format = nullptr, .size = {}};
  const FileKind kind = file_kind(out.bytes);
  for (const PictureFormat& format : picture_formats()) {
    if (format.kind == kind) out.format = &format;
  }
  if (out.format == nullptr) {
    fail(path, cat("is neither PNG, JPEG, WebP nor BMP", told(kind)));
  }
  try {
    out.size = out.format->size(out.bytes);
  } catch (const BadPicture& bad) {
    fail(path, bad.what());
  }
  const auto& [height, width] = out.size;
  const bool fits =
      height >= 1 && width >= 1 && height <= kMaxPixels && width <= kMaxPixels &&
      height * width <= kMaxPixels &&
      height * width <= static_cast<int64_t>(out.bytes.size()) * out.format->most_pixels_per_byte;
  if (!fits) {
    fail(path,
         cat("says it has ",
             height,
             "x",
             width,
             " pixels, which is more than its ",
             out.bytes.size(),
             " bytes or the limit of ",
             kMaxPixels,
             " allow"));
  }
  return out;
}

}  // namespace

ImageSize image_size(const std::filesystem::path& path) {
  return open(path).size;
}

RgbImage decode_image(const std::filesystem::path& path) {
  const Opened file = open(path);
  RgbImage out{file.size,
               std::vector<uint8_t>(static_cast<size_t>(file.size.height * file.size.width * 3))};
  try {
    file.format->decode(file.bytes, out);
  } catch (const BadPicture& bad) {
    fail(path, bad.what());
  }
  return out;
}

RgbImage fit_image(const RgbImage& image, ImageSize size) {
  if (image.size == size) return image;
  RgbImage out{size, std::vector<uint8_t>(static_cast<size_t>(size.height * size.width * 3))};
  fit_pixels(image.pixels.data(), image.size, 3, out.pixels.data(), size);
  return out;
}

void fit_pixels(const uint8_t* in, ImageSize from, int64_t channels, uint8_t* out, ImageSize to) {
  const int64_t h = from.height, w = from.width;
  // The largest window of the wanted aspect.
  int64_t window_h = h, window_w = w;
  if (w * to.height > h * to.width) {
    window_w = std::max<int64_t>(1, h * to.width / to.height);
  } else {
    window_h = std::max<int64_t>(1, w * to.height / to.width);
  }
  const int64_t top = (h - window_h) / 2, left = (w - window_w) / 2;
  for (int64_t y = 0; y < to.height; ++y) {
    const int64_t y0 = top + y * window_h / to.height;
    const int64_t y1 = std::max(y0 + 1, top + (y + 1) * window_h / to.height);
    for (int64_t x = 0; x < to.width; ++x) {
      const int64_t x0 = left + x * window_w / to.width;
      const int64_t x1 = std::max(x0 + 1, left + (x + 1) * window_w / to.width);
      const int64_t area = (y1 - y0) * (x1 - x0);
      for (int64_t c = 0; c < channels; ++c) {
        int64_t sum = 0;
        for (int64_t yy = y0; yy < y1; ++yy) {
          for (int64_t xx = x0; xx < x1; ++xx) sum += in[(yy * w + xx) * channels + c];
        }
        out[(y * to.width + x) * channels + c] = static_cast<uint8_t>((sum + area / 2) / area);
      }
    }
  }
}

void read_picture(const std::filesystem::path& path,
                  const ImageShape& shape,
                  std::span<uint8_t> pixels) {
  ESPALIER_CHECK(shape.channels == 1 || shape.channels == 3,
                 ValueError,
                 "a picture has one or three channels, asked for ",
                 shape.channels);
  const RgbImage image = fit_image(decode_image(path), {shape.height, shape.width});
  const int64_t plane = shape.height * shape.width;
  for (int64_t p = 0; p < plane; ++p) {
    const uint8_t* rgb = image.pixels.data() + p * 3;
    if (shape.channels == 1) {
      pixels[static_cast<size_t>(p)] =
          static_cast<uint8_t>((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
      continue;
    }
    for (int64_t c = 0; c < 3; ++c) pixels[static_cast<size_t>(c * plane + p)] = rgb[c];
  }
}

}  // namespace espalier::data::detail
