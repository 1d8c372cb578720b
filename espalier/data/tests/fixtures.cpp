// SPDX-License-Identifier: Apache-2.0
#include "fixtures.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include <matio.h>
#include <webp/encode.h>
#include <zlib.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

#include <espalier/data/cifar.h>
#include <espalier/data/idx.h>
#include <espalier/data/image_folder.h>
#include <espalier/data/svhn.h>

namespace espalier::data::testing {
namespace fs = std::filesystem;
namespace {

void require(bool condition, const char* text) {
  if (!condition) throw std::runtime_error(text);
}

void append_u32(Bytes& bytes, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<uint8_t>(value >> shift));
}

Bytes rgb_of(int64_t i, int64_t height, int64_t width) {
  Bytes out;
  for (int64_t p = 0; p < height * width * 3; ++p) out.push_back(pixel(i, p));
  return out;
}

void read_all(const std::shared_ptr<const Dataset>& dataset) {
  Bytes pixels(static_cast<size_t>(dataset->image_shape().numel()));
  for (int64_t i = 0; i < dataset->size(); ++i) dataset->read(i, pixels);
}

}  // namespace

TempFolder::TempFolder() {
  std::string name = (fs::temp_directory_path() / "espalier-data-XXXXXX").string();
  require(mkdtemp(name.data()) != nullptr, "mkdtemp failed");
  path_ = name;
  fs::permissions(path_, fs::perms(0755));
}

TempFolder::~TempFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
}

AsNobody::AsNobody() {
  if (geteuid() != 0) return;
  require(seteuid(65534) == 0, "seteuid failed");
  changed_ = true;
}

AsNobody::~AsNobody() {
  if (changed_ && seteuid(0) != 0) std::abort();
}

Bytes load(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  require(in.good(), "test file is missing");
  return {std::istreambuf_iterator<char>(in), {}};
}

void store(const fs::path& path, const Bytes& bytes) {
  if (path.has_parent_path()) fs::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  require(out.good(), "test file was not written");
}

void make_cifar(const fs::path& file, const Bytes& prefix, const Bytes& labels) {
  Bytes bytes;
  for (size_t i = 0; i < labels.size(); ++i) {
    bytes.insert(bytes.end(), prefix.begin(), prefix.end());
    bytes.push_back(labels[i]);
    for (int64_t p = 0; p < 3072; ++p) bytes.push_back(pixel(static_cast<int64_t>(i), p));
  }
  store(file, bytes);
}

Bytes idx_images(int64_t count, int64_t height, int64_t width) {
  Bytes bytes;
  append_u32(bytes, 0x803);
  append_u32(bytes, static_cast<uint32_t>(count));
  append_u32(bytes, static_cast<uint32_t>(height));
  append_u32(bytes, static_cast<uint32_t>(width));
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t p = 0; p < height * width; ++p) bytes.push_back(pixel(i, p));
  }
  return bytes;
}

Bytes idx_labels(const Bytes& labels) {
  Bytes bytes;
  append_u32(bytes, 0x801);
  append_u32(bytes, static_cast<uint32_t>(labels.size()));
  bytes.insert(bytes.end(), labels.begin(), labels.end());
  return bytes;
}

Bytes gzip(const Bytes& bytes) {
  z_stream stream = {};
  require(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK,
          "zlib");
  Bytes out(deflateBound(&stream, bytes.size()) + 64);
  stream.next_in = const_cast<uint8_t*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  require(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

void make_idx(const fs::path& folder,
              const std::string& prefix,
              int64_t height,
              int64_t width,
              const Bytes& labels,
              bool packed) {
  const Bytes images = idx_images(static_cast<int64_t>(labels.size()), height, width);
  const std::string ending = packed ? ".gz" : "";
  store(folder / (prefix + "-images-idx3-ubyte" + ending), packed ? gzip(images) : images);
  const Bytes numbers = idx_labels(labels);
  store(folder / (prefix + "-labels-idx1-ubyte" + ending), packed ? gzip(numbers) : numbers);
}

void make_svhn(const fs::path& file, const std::vector<double>& labels, bool packed) {
  fs::create_directories(file.parent_path());
  const size_t n = labels.size();
  // MATLAB's order: the first index, the row, runs fastest.
  Bytes x(n * 3072);
  for (size_t i = 0; i < n; ++i) {
    for (size_t c = 0; c < 3; ++c) {
      for (size_t row = 0; row < 32; ++row) {
        for (size_t col = 0; col < 32; ++col) {
          x[row + 32 * (col + 32 * (c + 3 * i))] =
              pixel(static_cast<int64_t>(i), static_cast<int64_t>(c * 1024 + row * 32 + col));
        }
      }
    }
  }
  mat_t* mat = Mat_CreateVer(file.string().c_str(), nullptr, MAT_FT_MAT5);
  require(mat != nullptr, "matio can't create");
  const matio_compression kind = packed ? MAT_COMPRESSION_ZLIB : MAT_COMPRESSION_NONE;
  size_t x_dims[4] = {32, 32, 3, n};
  matvar_t* xv = Mat_VarCreate("X", MAT_C_UINT8, MAT_T_UINT8, 4, x_dims, x.data(), 0);
  require(Mat_VarWrite(mat, xv, kind) == 0, "matio can't write X");
  Mat_VarFree(xv);
  size_t y_dims[2] = {n, 1};
  matvar_t* yv = Mat_VarCreate(
      "y", MAT_C_DOUBLE, MAT_T_DOUBLE, 2, y_dims, const_cast<double*>(labels.data()), 0);
  require(Mat_VarWrite(mat, yv, kind) == 0, "matio can't write y");
  Mat_VarFree(yv);
  Mat_Close(mat);
}

void make_bmp(const fs::path& file, int64_t i, int64_t height, int64_t width) {
  fs::create_directories(file.parent_path());
  const Bytes rgb = rgb_of(i, height, width);
  require(stbi_write_bmp(file.string().c_str(),
                         static_cast<int>(width),
                         static_cast<int>(height),
                         3,
                         rgb.data()) != 0,
          "stb can't write");
}

void make_webp(const fs::path& file, int64_t i, int64_t height, int64_t width) {
  const Bytes rgb = rgb_of(i, height, width);
  uint8_t* bytes = nullptr;
  const size_t size = WebPEncodeLosslessRGB(rgb.data(),
                                            static_cast<int>(width),
                                            static_cast<int>(height),
                                            static_cast<int>(3 * width),
                                            &bytes);
  require(size > 0, "libwebp can't write");
  store(file, Bytes(bytes, bytes + size));
  WebPFree(bytes);
}

void make_png(const fs::path& file, int64_t i, int64_t height, int64_t width) {
  fs::create_directories(file.parent_path());
  const Bytes rgb = rgb_of(i, height, width);
  require(stbi_write_png(file.string().c_str(),
                         static_cast<int>(width),
                         static_cast<int>(height),
                         3,
                         rgb.data(),
                         0) != 0,
          "stb can't write");
}

void make_jpeg(const fs::path& file, int64_t height, int64_t width, const Bytes& rgb) {
  fs::create_directories(file.parent_path());
  Bytes pixels;
  for (int64_t p = 0; p < height * width; ++p) pixels.insert(pixels.end(), rgb.begin(), rgb.end());
  require(stbi_write_jpg(file.string().c_str(),
                         static_cast<int>(width),
                         static_cast<int>(height),
                         3,
                         pixels.data(),
                         95) != 0,
          "stb can't write");
}

void PrintTo(const Fixture& fixture, std::ostream* out) {
  *out << fixture.name;
}

std::vector<Fixture> all_fixtures() {
  std::vector<Fixture> out;
  Fixture cifar10{.name = "cifar10", .files = {}, .make = {}, .open = {}};
  for (int b = 1; b <= 5; ++b) cifar10.files.push_back("data_batch_" + std::to_string(b) + ".bin");
  cifar10.make = [files = cifar10.files](const fs::path& folder) {
    for (const std::string& file : files) make_cifar(folder / file, {}, {0, 9});
  };
  cifar10.open = [](const fs::path& folder) { read_all(open_cifar10(folder, Split::Train)); };
  out.push_back(cifar10);
  out.push_back({.name = "cifar100",
                 .files = {"train.bin"},
                 .make =
                     [](const fs::path& f) {
                       make_cifar(f / "train.bin", {19}, {0, 99});
                     },
                 .open = [](const fs::path& f) { read_all(open_cifar100(f, Split::Train)); }});
  for (const bool packed : {false, true}) {
    out.push_back({.name = packed ? "svhn_packed" : "svhn_plain",
                   .files = {"train_32x32.mat"},
                   .make =
                       [packed](const fs::path& f) {
                         make_svhn(f / "train_32x32.mat", {1, 10, 5}, packed);
                       },
                   .open = [](const fs::path& f) { read_all(open_svhn(f, Split::Train)); }});
    const std::string ending = packed ? ".gz" : "";
    out.push_back(
        {.name = packed ? "mnist_packed" : "mnist_plain",
         .files = {"train-images-idx3-ubyte" + ending, "train-labels-idx1-ubyte" + ending},
         .make =
             [packed](const fs::path& f) {
               make_idx(f, "train", 28, 28, {3, 1, 4}, packed);
             },
         .open = [](const fs::path& f) { read_all(open_mnist(f, Split::Train)); }});
  }
  out.push_back(
      {.name = "folder",
       .files = {"train/cat/a.png", "train/dog/b.jpg", "train/dog/c.bmp", "train/dog/d.webp"},
       .make =
           [](const fs::path& f) {
             make_png(f / "train/cat/a.png", 1, 9, 7);
             make_jpeg(f / "train/dog/b.jpg", 20, 20, {200, 100, 50});
             make_bmp(f / "train/dog/c.bmp", 2, 9, 7);
             make_webp(f / "train/dog/d.webp", 3, 9, 7);
           },
       .open =
           [](const fs::path& f) {
             if (open_image_folder(f, Split::Train)->size() != 4) {
               throw std::runtime_error("a picture was left out");
             }
             read_all(open_image_folder(f, Split::Train));
           }});
  return out;
}

}  // namespace espalier::data::testing
