// SPDX-License-Identifier: Apache-2.0
// What the decoders of pictures give, byte by byte, and what they refuse.
#include <espalier/data/detail/image_file.h>

#include <malloc.h>

#include <cstdio>

// After <cstdio>: its header needs FILE.
#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

#include "reading.h"

namespace espalier::data::testing {
namespace {

namespace fs = std::filesystem;
using detail::decode_image;
using detail::image_size;

Bytes some_rgb(int64_t numel) {
  Bytes out;
  for (int64_t p = 0; p < numel; ++p) out.push_back(pixel(1, p));
  return out;
}

// A JPEG of one colour in four components, which libjpeg writes as they are.
void make_cmyk(const fs::path& file, const Bytes& stored, bool adobe_mark, bool ycck = false) {
  std::FILE* out = std::fopen(file.c_str(), "wb");
  ASSERT_NE(out, nullptr);
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  jpeg_stdio_dest(&jpeg, out);
  jpeg.image_width = jpeg.image_height = 16;
  jpeg.input_components = 4;
  jpeg.in_color_space = JCS_CMYK;
  jpeg_set_defaults(&jpeg);
  if (ycck) jpeg_set_colorspace(&jpeg, JCS_YCCK);
  jpeg_set_quality(&jpeg, 100, TRUE);
  jpeg.write_Adobe_marker = adobe_mark ? TRUE : FALSE;
  jpeg_start_compress(&jpeg, TRUE);
  Bytes row;
  for (int x = 0; x < 16; ++x) row.insert(row.end(), stored.begin(), stored.end());
  JSAMPROW rows[1] = {row.data()};
  for (int y = 0; y < 16; ++y) jpeg_write_scanlines(&jpeg, rows, 1);
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::fclose(out);
}

TEST(Pictures, CmykWithAdobesMarkBecomesItsColours) {
  // Stored is 255 - ink; with black ink b, red is (255 - b) * (255 - cyan) / 255.
  const TempFolder folder;
  const fs::path file = folder.path() / "a.jpg";
  constexpr int kJpegTol = 2;
  for (const bool ycck : {false, true}) {
    for (const auto& [stored, rgb] : {std::pair{Bytes{255, 0, 0, 255}, Bytes{255, 0, 0}},
                                      {Bytes{200, 30, 30, 255}, Bytes{200, 30, 30}},
                                      {Bytes{200, 100, 50, 128}, Bytes{100, 50, 25}},
                                      {Bytes{255, 255, 255, 0}, Bytes{0, 0, 0}}}) {
      make_cmyk(file, stored, true, ycck);
      const detail::RgbImage image = decode_image(file);
      ASSERT_EQ(image.size, (detail::ImageSize{16, 16}));
      for (size_t p = 0; p < 256; ++p) {
        for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(image.pixels[3 * p + c], rgb[c], kJpegTol);
      }
    }
  }
}

TEST(Pictures, FourColoursWithoutAMarkAreRefused) {
  const TempFolder folder;
  const fs::path file = folder.path() / "a.jpg";
  make_cmyk(file, {200, 30, 30, 255}, false);
  expect_io_error([&] { image_size(file); }, "no Adobe mark");
}

TEST(Pictures, WebPAndBmpGiveTheirPixels) {
  const TempFolder folder;
  const Bytes rgb = some_rgb(5 * 7 * 3);
  make_webp(folder.path() / "a.webp", 1, 5, 7);
  make_bmp(folder.path() / "a.bmp", 1, 5, 7);
  for (const char* name : {"a.webp", "a.bmp"}) {
    EXPECT_EQ(image_size(folder.path() / name), (detail::ImageSize{5, 7})) << name;
    EXPECT_EQ(decode_image(folder.path() / name).pixels, rgb) << name;
    const Bytes whole = load(folder.path() / name);
    for (size_t less = 1; less < whole.size(); ++less) {
      store(folder.path() / "cut", Bytes(whole.begin(), whole.end() - static_cast<long>(less)));
      EXPECT_THROW(decode_image(folder.path() / "cut"), IoError) << name << " less " << less;
    }
  }
}

TEST(Pictures, BmpOfEachDepthReadsItsPixels) {
  // Two pixels, the lower row first: bits, palette, row.
  struct Case {
    uint8_t bits;
    Bytes palette, row;
  };
  const Bytes colours = {30, 20, 10, 0, 60, 50, 40, 0};  // blue, green, red, unused
  for (const Case& c : {Case{1, colours, {0x40, 0, 0, 0}},
                        Case{4, colours, {0x01, 0, 0, 0}},
                        Case{8, colours, {0, 1, 0, 0}},
                        Case{24, {}, {30, 20, 10, 60, 50, 40, 0, 0}},
                        Case{32, {}, {30, 20, 10, 9, 60, 50, 40, 9}}}) {
    Bytes bytes = {'B', 'M'};
    const auto u32 = [&](size_t value) {
      for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
    };
    u32(54 + c.palette.size() + c.row.size());
    u32(0);
    u32(54 + c.palette.size());
    u32(40);
    u32(2);  // width
    u32(1);  // height
    bytes.insert(bytes.end(), {1, 0, c.bits, 0});
    for (const size_t value :
         {size_t{0}, size_t{0}, size_t{0}, size_t{0}, c.palette.size() / 4, size_t{0}}) {
      u32(value);
    }
    bytes.insert(bytes.end(), c.palette.begin(), c.palette.end());
    bytes.insert(bytes.end(), c.row.begin(), c.row.end());
    const TempFolder folder;
    store(folder.path() / "a.bmp", bytes);
    EXPECT_EQ(decode_image(folder.path() / "a.bmp").pixels, (Bytes{10, 20, 30, 40, 50, 60}))
        << int{c.bits};
    bytes[30] = 1;  // says that it is packed
    store(folder.path() / "a.bmp", bytes);
    expect_io_error([&] { image_size(folder.path() / "a.bmp"); }, "compressed");
    bytes[30] = 0;
    bytes[22] = 2;  // one row more than there is
    store(folder.path() / "a.bmp", bytes);
    expect_io_error([&] { image_size(folder.path() / "a.bmp"); }, "more pixels than follow");
  }
}

// A PNG of 8 x 1 with a palette of two colours; `bits` a pixel, packed rows as given.
void make_palette_png(const fs::path& file, uint8_t bits, const Bytes& row) {
  Bytes out = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  const auto chunk = [&](const char* name, const Bytes& data) {
    const auto u32 = [&](uint32_t value) {
      for (int shift = 24; shift >= 0; shift -= 8)
        out.push_back(static_cast<uint8_t>(value >> shift));
    };
    u32(static_cast<uint32_t>(data.size()));
    const size_t start = out.size();
    out.insert(out.end(), name, name + 4);
    out.insert(out.end(), data.begin(), data.end());
    u32(static_cast<uint32_t>(crc32(0, out.data() + start, static_cast<uInt>(out.size() - start))));
  };
  chunk("IHDR", {0, 0, 0, 8, 0, 0, 0, 1, bits, 3, 0, 0, 0});
  chunk("PLTE", {10, 20, 30, 40, 50, 60});
  Bytes filtered = {0};
  filtered.insert(filtered.end(), row.begin(), row.end());
  Bytes packed(compressBound(filtered.size()));
  uLongf size = packed.size();
  compress(packed.data(), &size, filtered.data(), filtered.size());
  packed.resize(size);
  chunk("IDAT", packed);
  chunk("IEND", {});
  store(file, out);
}

TEST(Pictures, ColoursThatAPaletteDoesNotHaveAreRefused) {
  const TempFolder folder;
  const fs::path file = folder.path() / "a.png";
  make_palette_png(file, 8, {0, 1, 1, 0, 0, 0, 0, 1});
  EXPECT_EQ(decode_image(file).pixels[3], 40);
  make_palette_png(file, 8, {0, 1, 1, 0, 0, 0, 0, 200});
  expect_io_error([&] { decode_image(file); }, "its palette does not have");
  make_palette_png(file, 2, {0x11, 0x10});
  EXPECT_EQ(decode_image(file).pixels[3], 40);
  make_palette_png(file, 2, {0x11, 0x13});
  expect_io_error([&] { decode_image(file); }, "its palette does not have");
}

TEST(Pictures, OfAnyDepthOfPngTheUpperByteCounts) {
  const TempFolder folder;
  const fs::path file = folder.path() / "a.png";
  const uint16_t grey[] = {0x1234, 0xFFFF, 0x0001, 0x8000};
  std::FILE* stream = std::fopen(file.c_str(), "wb");
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_init_io(png, stream);
  png_set_IHDR(png, info, 4, 1, 16, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_ADAM7, 0, 0);
  png_write_info(png, info);
  Bytes row;
  for (const uint16_t value : grey) {
    row.push_back(static_cast<uint8_t>(value >> 8));
    row.push_back(static_cast<uint8_t>(value));
  }
  const int passes = png_set_interlace_handling(png);
  for (int pass = 0; pass < passes; ++pass) png_write_row(png, row.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  std::fclose(stream);
  EXPECT_EQ(decode_image(file).pixels,
            (Bytes{0x12, 0x12, 0x12, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0x80, 0x80, 0x80}));
}

TEST(Pictures, DamagedJpegIsRefusedAndNotFilledIn) {
  const TempFolder folder;
  const fs::path file = folder.path() / "a.jpg";
  make_jpeg(file, 64, 64, {200, 100, 50});
  const Bytes whole = load(file);
  Bytes bytes = whole;
  bytes.erase(bytes.end() - 40, bytes.end() - 2);  // packed pixels; the end mark stays
  store(file, bytes);
  expect_io_error([&] { decode_image(file); }, "a.jpg can't be decoded");
  bytes = whole;
  for (size_t i = 0; i + 21 < bytes.size(); ++i) {  // tables of 16 x 255 codes
    if (bytes[i] == 0xFF && bytes[i + 1] == 0xC4) {
      std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(i) + 5, 16, uint8_t{255});
    }
  }
  store(file, bytes);
  expect_io_error([&] { decode_image(file); }, "a.jpg can't be decoded");
}

TEST(Pictures, WhatIsNoPictureIsTold) {
  const TempFolder folder;
  const fs::path file = folder.path() / "a.png";
  const auto text = [&](const std::string& content) {
    store(file, {content.begin(), content.end()});
  };
  text("GIF89a and more");
  expect_io_error([&] { image_size(file); },
                  "neither PNG, JPEG, WebP nor BMP. It is a GIF picture");
  text("version https://git-lfs.github.com/spec/v1\noid");
  expect_io_error([&] { image_size(file); }, "git lfs pull");
}

TEST(Pictures, ReadIntoDirtyMemoryTheyAreTheSame) {
  const TempFolder folder;
  make_png(folder.path() / "a.png", 1, 33, 31);
  make_jpeg(folder.path() / "b.jpg", 33, 31, {200, 100, 50});
  make_bmp(folder.path() / "c.bmp", 1, 33, 31);
  make_webp(folder.path() / "d.webp", 1, 33, 31);
  for (const char* name : {"a.png", "b.jpg", "c.bmp", "d.webp"}) {
    Bytes first;
    for (const int dirt : {0x00, 0xA5, 0xFF}) {
      mallopt(M_PERTURB, dirt);  // what malloc fills its memory with
      const Bytes pixels = decode_image(folder.path() / name).pixels;
      mallopt(M_PERTURB, 0);
      if (first.empty()) first = pixels;
      EXPECT_EQ(pixels, first) << name;
    }
  }
}

}  // namespace
}  // namespace espalier::data::testing
