// SPDX-License-Identifier: Apache-2.0
/// Small data sets on disk, made by the tests themselves, and ways to spoil them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <espalier/data/dataset.h>

namespace espalier::data::testing {

using Bytes = std::vector<uint8_t>;

/// A fresh folder, removed with its content at the end of the scope.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Makes file permissions count for a process of the superuser too, until the end of the scope.
class AsNobody {
 public:
  AsNobody();
  ~AsNobody();
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;

 private:
  bool changed_ = false;
};

Bytes load(const std::filesystem::path& path);
void store(const std::filesystem::path& path, const Bytes& bytes);

/// The pixel that fixtures have at position p of image i.
inline uint8_t pixel(int64_t i, int64_t p) {
  return static_cast<uint8_t>(31 * i + 7 * p + p / 256);
}

/// `labels.size()` records: each has `prefix`, its label, 3072 pixels.
void make_cifar(const std::filesystem::path& file, const Bytes& prefix, const Bytes& labels);
/// Images of height x width and labels, as idx files; gzip when `packed`.
void make_idx(const std::filesystem::path& folder,
              const std::string& prefix,
              int64_t height,
              int64_t width,
              const Bytes& labels,
              bool packed);
Bytes idx_images(int64_t count, int64_t height, int64_t width);
Bytes idx_labels(const Bytes& labels);
Bytes gzip(const Bytes& bytes);
/// X and y by matio; labels as in the file, 1..10.
void make_svhn(const std::filesystem::path& file, const std::vector<double>& labels, bool packed);
/// A picture whose pixel is pixel(i, (y * width + x) * 3 + c).
void make_png(const std::filesystem::path& file, int64_t i, int64_t height, int64_t width);
/// The same as BMP and as lossless WebP.
void make_bmp(const std::filesystem::path& file, int64_t i, int64_t height, int64_t width);
void make_webp(const std::filesystem::path& file, int64_t i, int64_t height, int64_t width);
/// A picture of one colour.
void make_jpeg(const std::filesystem::path& file, int64_t height, int64_t width, const Bytes& rgb);

/// A whole data set on disk, for the tests that hold for every reader.
struct Fixture {
  std::string name;
  std::vector<std::string> files;  ///< relative; spoiling any must be noticed
  std::function<void(const std::filesystem::path&)> make;
  /// Opens the training split and reads every sample.
  std::function<void(const std::filesystem::path&)> open;
};
std::vector<Fixture> all_fixtures();
/// The name, for messages of GoogleTest.
void PrintTo(const Fixture& fixture, std::ostream* out);

}  // namespace espalier::data::testing
