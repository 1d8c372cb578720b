// SPDX-License-Identifier: Apache-2.0
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

#include <png.h>

#include <espalier/core/error.h>
#include <espalier/data/detail/picture_formats.h>

namespace espalier::data::detail {
namespace {

// What the callbacks of one picture share. libpng leaves by longjmp, so no object with a destructor
// may live in a function that calls it.
struct Reading {
  std::span<const uint8_t> rest;
  png_structp png = nullptr;
  png_infop info = nullptr;
  char text[200] = "";
};

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  auto& reading = *static_cast<Reading*>(png_get_error_ptr(png));
  std::snprintf(reading.text, sizeof reading.text, "%s", text);
  png_longjmp(png, 1);
}

// Of parts that pixels do not depend on, such as profiles and times.
void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, png_size_t count) {
  auto& reading = *static_cast<Reading*>(png_get_io_ptr(png));
  if (count > reading.rest.size()) png_error(png, "it is truncated");
  std::memcpy(out, reading.rest.data(), count);
  reading.rest = reading.rest.subspan(count);
}

void start(Reading& reading) {
  png_set_read_fn(reading.png, &reading, on_read);
  // Every chunk's checksum counts, also of parts that are not looked at.
  png_set_crc_action(reading.png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  // Sizes are compared with the file's by the caller.
  png_set_user_limits(reading.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_read_info(reading.png, reading.info);
}

bool read_size(Reading& reading, ImageSize& size) {
  if (setjmp(png_jmpbuf(reading.png)) != 0) return false;
  start(reading);
  size = {png_get_image_height(reading.png, reading.info),
          png_get_image_width(reading.png, reading.info)};
  return true;
}

// Colours in the place of the numbers that each row begins with. libpng expands palettes too, but
// gives a number that a palette does not have any colour.
void expand_palette(Reading& reading, png_bytepp rows) {
  png_colorp colours = nullptr;
  int count = 0;
  png_get_PLTE(reading.png, reading.info, &colours, &count);
  const size_t width = png_get_image_width(reading.png, reading.info);
  const size_t height = png_get_image_height(reading.png, reading.info);
  for (size_t y = 0; y < height; ++y) {
    for (size_t x = width; x-- > 0;) {  // from the right: a colour takes more room than its number
      const int number = rows[y][x];
      if (number >= count) {
        png_error(reading.png, "a pixel has a colour that its palette does not have");
      }
      const png_color& colour = colours[number];
      rows[y][3 * x] = colour.red;
      rows[y][3 * x + 1] = colour.green;
      rows[y][3 * x + 2] = colour.blue;
    }
  }
}

bool read_pixels(Reading& reading, png_bytepp rows, size_t row_bytes) {
  if (setjmp(png_jmpbuf(reading.png)) != 0) return false;
  start(reading);
  png_structp png = reading.png;
  const bool has_palette = png_get_color_type(png, reading.info) == PNG_COLOR_TYPE_PALETTE;
  if (has_palette) {
    png_set_packing(png);  // a byte for each number
  } else {
    png_set_strip_16(png);
    png_set_expand(png);  // grey below 8 bits
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
  }
  png_set_interlace_handling(png);
  png_read_update_info(png, reading.info);
  if (png_get_rowbytes(png, reading.info) != (has_palette ? row_bytes / 3 : row_bytes)) {
    png_error(png, "its rows are no RGB");
  }
  png_read_image(png, rows);
  png_read_end(png, nullptr);
  if (has_palette) expand_palette(reading, rows);
  return true;
}

template <class Work>
void with_png(std::span<const uint8_t> bytes, Work work) {
  Reading reading{.rest = bytes};
  reading.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reading, on_error, on_warning);
  if (reading.png != nullptr) reading.info = png_create_info_struct(reading.png);
  const bool good = reading.info != nullptr && work(reading);
  png_destroy_read_struct(&reading.png, &reading.info, nullptr);
  if (!good) throw BadPicture(cat("can't be decoded: ", reading.text));
}

ImageSize size(std::span<const uint8_t> bytes) {
  ImageSize out;
  with_png(bytes, [&](Reading& reading) { return read_size(reading, out); });
  return out;
}

void decode(std::span<const uint8_t> bytes, RgbImage& image) {
  const auto row_bytes = static_cast<size_t>(3 * image.size.width);
  std::vector<png_bytep> rows;
  for (int64_t y = 0; y < image.size.height; ++y) {
    rows.push_back(image.pixels.data() + static_cast<size_t>(y) * row_bytes);
  }
  with_png(bytes, [&](Reading& reading) { return read_pixels(reading, rows.data(), row_bytes); });
}

}  // namespace

PictureFormat png_format() {
  // Deflate packs at most 1032 to 1, and a pixel has at least one bit.
  return {FileKind::Png, 8 * 1032, size, decode};
}

}  // namespace espalier::data::detail
