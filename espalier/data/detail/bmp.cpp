// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <memory>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS (1 << 26)
// Its memory is zero, so that no pixel could ever be what lay there before.
#define STBI_MALLOC(bytes) std::calloc(1, bytes)
#define STBI_REALLOC(old, bytes) std::realloc(old, bytes)
#define STBI_FREE(old) std::free(old)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

#include <espalier/core/error.h>
#include <espalier/data/detail/picture_formats.h>

namespace espalier::data::detail {
namespace {

// Where pixels begin, and what they are.
struct Header {
  int64_t offset = 0;
  int64_t width = 0;
  int64_t height = 0;
  int64_t bits = 0;
};

// stb_image reads zeros behind the end of a file, so all that it will read is checked to be there.
Header header(std::span<const uint8_t> bytes) {
  constexpr size_t kFileHeader = 14, kSmallest = 12, kUsual = 40;
  const auto number = [&](size_t at, size_t count) {
    uint64_t out = 0;
    for (size_t i = count; i-- > 0;) out = out << 8 | bytes[at + i];
    return static_cast<int64_t>(out);
  };
  const auto require = [](bool condition, const char* text) {
    if (!condition) throw BadPicture(cat("can't be decoded: its BMP header ", text));
  };
  require(bytes.size() >= kFileHeader + kSmallest, "is truncated");
  const auto size = static_cast<size_t>(number(kFileHeader, 4));
  require(size == 12 || size == 40 || size == 52 || size == 56 || size == 108 || size == 124,
          "is of no known version");
  require(bytes.size() >= kFileHeader + size, "is truncated");
  Header out{.offset = number(10, 4)};
  const bool old = size == kSmallest;
  out.width = old ? number(18, 2) : static_cast<int32_t>(number(18, 4));
  const int64_t height = old ? number(20, 2) : static_cast<int32_t>(number(22, 4));
  out.height = height < 0 ? -height : height;  // upside down
  out.bits = number(old ? 24 : 28, 2);
  const int64_t packed = old ? 0 : number(30, 4);
  require(packed == 0 || (packed == 3 && (out.bits == 16 || out.bits == 32)),
          "says that it is compressed, which is not read");
  require(out.bits == 1 || out.bits == 4 || out.bits == 8 || out.bits == 16 || out.bits == 24 ||
              out.bits == 32,
          "has an unknown number of bits a pixel");
  require(out.width > 0 && out.height > 0, "has no pixels");
  // Rows are padded to four bytes.
  const int64_t stride = (out.width * out.bits + 31) / 32 * 4;
  const auto masks = static_cast<int64_t>(packed == 3 && size == kUsual ? 12 : 0);
  const auto colours = static_cast<int64_t>(kFileHeader + size) + masks;
  require(out.offset >= colours && out.offset <= static_cast<int64_t>(bytes.size()),
          "says that pixels begin where they can't");
  if (out.height > (static_cast<int64_t>(bytes.size()) - out.offset) / stride) {
    throw BadPicture("is truncated: its BMP header asks for more pixels than follow");
  }
  return out;
}

ImageSize size(std::span<const uint8_t> bytes) {
  const Header found = header(bytes);
  return {found.height, found.width};
}

void decode(std::span<const uint8_t> bytes, RgbImage& image) {
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(
          bytes.data(), static_cast<int>(bytes.size()), &width, &height, &channels, 3),
      stbi_image_free);
  if (!pixels) throw BadPicture(cat("can't be decoded: ", stbi_failure_reason()));
  if (ImageSize{height, width} != image.size) throw BadPicture("contradicts its header");
  image.pixels.assign(pixels.get(), pixels.get() + int64_t{width} * height * 3);
}

}  // namespace

PictureFormat bmp_format() {
  return {FileKind::Bmp, 8, size, decode};
}

}  // namespace espalier::data::detail
