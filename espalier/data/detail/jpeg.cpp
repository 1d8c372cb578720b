// SPDX-License-Identifier: Apache-2.0
#include <csetjmp>
#include <cstdio>
#include <string>

// After <cstdio>: its header needs FILE.
#include <jpeglib.h>
// After jpeglib.h: the numbers of warnings.
#include <jerror.h>

#include <espalier/core/error.h>
#include <espalier/data/detail/picture_formats.h>

namespace espalier::data::detail {
namespace {

// What the callbacks of one picture share. libjpeg leaves by longjmp, so no object with a
// destructor may live in a function that calls it.
struct Reading {
  jpeg_decompress_struct jpeg;
  jpeg_error_mgr errors;
  std::jmp_buf failed;
  char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr jpeg) {
  auto& reading = *static_cast<Reading*>(jpeg->client_data);
  reading.errors.format_message(jpeg, reading.text);
  std::longjmp(reading.failed, 1);
}

// Warnings are damage that libjpeg goes on with, filling in grey, except for these.
void on_message(j_common_ptr jpeg, int level) {
  const int code = jpeg->err->msg_code;
  const bool harmless = level >= 0 || code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR ||
                        code == JWRN_ADOBE_XFORM || code == JWRN_NOT_SEQUENTIAL;
  if (!harmless) on_error(jpeg);
}

void on_text(j_common_ptr) {}

void start(Reading& reading, std::span<const uint8_t> bytes) {
  reading.jpeg.err = jpeg_std_error(&reading.errors);
  reading.errors.error_exit = on_error;
  reading.errors.emit_message = on_message;
  reading.errors.output_message = on_text;
  reading.jpeg.client_data = &reading;
  jpeg_create_decompress(&reading.jpeg);
  jpeg_mem_src(&reading.jpeg, bytes.data(), bytes.size());
  jpeg_read_header(&reading.jpeg, TRUE);
}

// The same rounding as Pillow's: a * b / 255.
int times(int a, int b) {
  const int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

// Adobe's programs store 255 - ink. As Pillow: red = 255 - black - cyan * (255 - black) / 255.
void to_rgb(const uint8_t* cmyk, int64_t width, uint8_t* rgb) {
  for (int64_t x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    const int light = cmyk[3];
    for (int c = 0; c < 3; ++c) {
      const int value = light - times(255 - cmyk[c], light);
      rgb[c] = static_cast<uint8_t>(value < 0 ? 0 : value);
    }
  }
}

bool has_four_unmarked(const jpeg_decompress_struct& jpeg) {
  return jpeg.num_components == 4 && !jpeg.saw_Adobe_marker;
}

// True when it went well; otherwise `reading.text` says what did not.
bool read_size(Reading& reading, std::span<const uint8_t> bytes, ImageSize& size) {
  if (setjmp(reading.failed) != 0) {
    jpeg_destroy_decompress(&reading.jpeg);
    return false;
  }
  start(reading, bytes);
  size = {reading.jpeg.image_height, reading.jpeg.image_width};
  const bool unmarked = has_four_unmarked(reading.jpeg);
  jpeg_destroy_decompress(&reading.jpeg);
  if (unmarked) {
    std::snprintf(
        reading.text,
        sizeof reading.text,
        "it has four colours (CMYK) and no Adobe mark, so that nothing tells whether they "
        "are inverted; convert it to RGB");
  }
  return !unmarked;
}

bool read_pixels(Reading& reading, std::span<const uint8_t> bytes, uint8_t* row, uint8_t* pixels) {
  if (setjmp(reading.failed) != 0) {
    jpeg_destroy_decompress(&reading.jpeg);
    return false;
  }
  start(reading, bytes);
  jpeg_decompress_struct& jpeg = reading.jpeg;
  const bool four = jpeg.num_components == 4;
  jpeg.out_color_space = four ? JCS_CMYK : JCS_RGB;
  jpeg.dct_method = JDCT_ISLOW;  // the same bits with and without SIMD
  jpeg_start_decompress(&jpeg);
  const int64_t width = jpeg.output_width;
  while (jpeg.output_scanline < jpeg.output_height) {
    uint8_t* out = pixels + 3 * width * jpeg.output_scanline;
    JSAMPROW rows[1] = {four ? row : out};
    jpeg_read_scanlines(&jpeg, rows, 1);
    if (four) to_rgb(row, width, out);
  }
  jpeg_finish_decompress(&jpeg);
  jpeg_destroy_decompress(&jpeg);
  return true;
}

[[noreturn]] void fail(const Reading& reading) {
  throw BadPicture(cat("can't be decoded: ", reading.text));
}

ImageSize size(std::span<const uint8_t> bytes) {
  Reading reading = {};
  ImageSize out;
  if (!read_size(reading, bytes, out)) fail(reading);
  return out;
}

void decode(std::span<const uint8_t> bytes, RgbImage& image) {
  Reading reading = {};
  std::vector<uint8_t> row(static_cast<size_t>(4 * image.size.width));
  if (!read_pixels(reading, bytes, row.data(), image.pixels.data())) fail(reading);
}

}  // namespace

PictureFormat jpeg_format() {
  // Each 8x8 block of each scan has at least one bit.
  return {FileKind::Jpeg, 8 * 64, size, decode};
}

}  // namespace espalier::data::detail
