// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/image_file.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string>

#include <zlib.h>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS (1 << 16)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/data/detail/file_checks.h>

namespace espalier::data::detail {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 28;
constexpr int64_t kMaxPixels = int64_t{1} << 26;
// Deflate packs at most 1032 to 1, and a PNG pixel has at least one bit.
constexpr int64_t kMaxPixelsPerByte = 8 * 1032;
constexpr uint8_t kPngMagic[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& text) {
  throw IoError(cat("image: ", path.string(), " ", text));
}

uint32_t u32_be(const uint8_t* b) {
  return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
}

// stb_image ignores checksums, so that a flipped bit would pass as a picture.
void check_png(const std::filesystem::path& path, const std::vector<uint8_t>& bytes) {
  size_t position = sizeof kPngMagic;
  for (;;) {
    if (bytes.size() - position < 12) fail(path, "is truncated: its PNG data has no end");
    const uint8_t* chunk = bytes.data() + position;
    const uint32_t length = u32_be(chunk);
    if (length > bytes.size() - position - 12) fail(path, "is truncated inside of a PNG chunk");
    const auto sum = static_cast<uint32_t>(crc32(0, chunk + 4, static_cast<uInt>(length + 4)));
    if (sum != u32_be(chunk + 8 + length)) fail(path, "has a PNG chunk with a wrong checksum");
    if (std::memcmp(chunk + 4, "IEND", 4) == 0) return;
    position += 12 + size_t{length};
  }
}

// A Huffman segment holds tables of 17 bytes (a number, how many codes of each length) and one byte
// a code. stb_image writes past its arrays when a table says that it has more than 256 codes.
void check_huffman(const std::filesystem::path& path, std::span<const uint8_t> tables) {
  while (!tables.empty()) {
    size_t codes = 0;
    for (size_t i = 1; i < std::min<size_t>(tables.size(), 17); ++i) codes += tables[i];
    if (codes > 256 || tables.size() < 17 + codes) fail(path, "has a broken JPEG Huffman table");
    tables = tables.subspan(17 + codes);
  }
}

// stb_image fills in what is missing of a truncated JPEG, and trusts its Huffman tables. This walks
// over the markers: between them lie segments with a length or, behind a start of scan, packed
// pixels.
void check_jpeg(const std::filesystem::path& path, const std::vector<uint8_t>& bytes) {
  constexpr uint8_t kEnd = 0xD9, kHuffman = 0xC4, kTemporary = 0x01;
  const auto is_restart = [](uint8_t marker) { return marker >= 0xD0 && marker <= 0xD7; };
  size_t position = 2;  // behind the start of image
  for (;;) {
    while (position < bytes.size() && bytes[position] != 0xFF)
      ++position;  // packed pixels, or junk
    while (position < bytes.size() && bytes[position] == 0xFF) ++position;
    if (position == bytes.size()) fail(path, "is truncated: its JPEG data has no end mark");
    const uint8_t marker = bytes[position++];
    if (marker == kEnd) return;
    if (marker == 0 || marker == kTemporary || is_restart(marker)) continue;
    if (bytes.size() - position < 2) fail(path, "is truncated inside of a JPEG segment");
    const size_t length = size_t{bytes[position]} << 8 | bytes[position + 1];
    if (length < 2 || length > bytes.size() - position) {
      fail(path, "is truncated inside of a JPEG segment");
    }
    if (marker == kHuffman) {
      check_huffman(path, std::span(bytes).subspan(position + 2, length - 2));
    }
    position += length;
  }
}

std::vector<uint8_t> read_checked(const std::filesystem::path& path) {
  check_readable(path, "image");
  std::vector<uint8_t> bytes = read_file(path, "image", kMaxFileBytes);
  if (bytes.size() >= sizeof kPngMagic &&
      std::memcmp(bytes.data(), kPngMagic, sizeof kPngMagic) == 0) {
    check_png(path, bytes);
  } else if (bytes.size() >= 2 && bytes[0] == 0xFF && bytes[1] == 0xD8) {
    check_jpeg(path, bytes);
  } else {
    fail(path, "is neither PNG nor JPEG");
  }
  return bytes;
}

ImageSize header_size(const std::filesystem::path& path, const std::vector<uint8_t>& bytes) {
  int width = 0, height = 0, channels = 0;
  if (stbi_info_from_memory(
          bytes.data(), static_cast<int>(bytes.size()), &width, &height, &channels) == 0) {
    fail(path, cat("can't be decoded: ", stbi_failure_reason()));
  }
  const int64_t pixels = int64_t{width} * height;
  if (pixels < 1 || pixels > kMaxPixels ||
      pixels > static_cast<int64_t>(bytes.size()) * kMaxPixelsPerByte) {
    fail(path,
         cat("says it has ",
             height,
             "x",
             width,
             " pixels, which is more than its ",
             bytes.size(),
             " bytes or the limit of ",
             kMaxPixels,
             " allow"));
  }
  return {height, width};
}

}  // namespace

ImageSize image_size(const std::filesystem::path& path) {
  return header_size(path, read_checked(path));
}

RgbImage decode_image(const std::filesystem::path& path) {
  const std::vector<uint8_t> bytes = read_checked(path);
  const ImageSize expected = header_size(path, bytes);
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(
          bytes.data(), static_cast<int>(bytes.size()), &width, &height, &channels, 3),
      stbi_image_free);
  if (!pixels) fail(path, cat("can't be decoded: ", stbi_failure_reason()));
  if (ImageSize{height, width} != expected) fail(path, "contradicts its header");
  return {expected, {pixels.get(), pixels.get() + int64_t{width} * height * 3}};
}

RgbImage fit_image(const RgbImage& image, ImageSize size) {
  if (image.size == size) return image;
  const int64_t h = image.size.height, w = image.size.width;
  // The largest window of the wanted aspect.
  int64_t window_h = h, window_w = w;
  if (w * size.height > h * size.width) {
    window_w = std::max<int64_t>(1, h * size.width / size.height);
  } else {
    window_h = std::max<int64_t>(1, w * size.height / size.width);
  }
  const int64_t top = (h - window_h) / 2, left = (w - window_w) / 2;
  RgbImage out{size, std::vector<uint8_t>(static_cast<size_t>(size.height * size.width * 3))};
  for (int64_t y = 0; y < size.height; ++y) {
    const int64_t y0 = top + y * window_h / size.height;
    const int64_t y1 = std::max(y0 + 1, top + (y + 1) * window_h / size.height);
    for (int64_t x = 0; x < size.width; ++x) {
      const int64_t x0 = left + x * window_w / size.width;
      const int64_t x1 = std::max(x0 + 1, left + (x + 1) * window_w / size.width);
      const int64_t area = (y1 - y0) * (x1 - x0);
      for (int64_t c = 0; c < 3; ++c) {
        int64_t sum = 0;
        for (int64_t yy = y0; yy < y1; ++yy) {
          for (int64_t xx = x0; xx < x1; ++xx) {
            sum += image.pixels[static_cast<size_t>((yy * w + xx) * 3 + c)];
          }
        }
        out.pixels[static_cast<size_t>((y * size.width + x) * 3 + c)] =
            static_cast<uint8_t>((sum + area / 2) / area);
      }
    }
  }
  return out;
}

}  // namespace espalier::data::detail
