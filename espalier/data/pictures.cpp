// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/pictures.h>

#include <utility>

#include <espalier/core/error.h>
#include <espalier/data/detail/checks.h>
#include <espalier/data/detail/image_file.h>

namespace espalier::data {
namespace {

namespace fs = std::filesystem;

class Pictures final : public Dataset {
 public:
  Pictures(std::vector<fs::path> files, PicturesOptions options)
      : files_(std::move(files)), options_(std::move(options)) {
    const auto channels = static_cast<size_t>(options_.shape.channels);
    ESPALIER_CHECK(!files_.empty(), ValueError, "pictures: expects at least one file, got none");
    ESPALIER_CHECK(!options_.class_names.empty(),
                   ValueError,
                   "pictures: expects at least one class, got none");
    ESPALIER_CHECK(
        (channels == 1 || channels == 3) && options_.mean.size() == channels &&
            options_.stddev.size() == channels,
        ValueError,
        "pictures: expects one or three channels, with a mean and a deviation each, got ",
        channels,
        ", ",
        options_.mean.size(),
        " and ",
        options_.stddev.size());
    for (const fs::path& file : files_) detail::image_size(file);
  }

  std::string name() const override { return "pictures"; }
  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  ImageShape image_shape() const override { return options_.shape; }
  const std::vector<std::string>& class_names() const override { return options_.class_names; }
  void read(int64_t index, std::span<uint8_t> pixels) const override {
    detail::check_read(*this, index, pixels);
    detail::read_picture(files_[static_cast<size_t>(index)], options_.shape, pixels);
  }
  int64_t label(int64_t index) const override {
    detail::check_index(*this, index);
    return 0;
  }
  std::vector<float> mean() const override { return options_.mean; }
  std::vector<float> stddev() const override { return options_.stddev; }
  fs::path file_of(int64_t index) const override {
    detail::check_index(*this, index);
    return files_[static_cast<size_t>(index)];
  }

 private:
  std::vector<fs::path> files_;
  PicturesOptions options_;
};

}  // namespace

std::shared_ptr<const Dataset> open_pictures(std::vector<fs::path> files, PicturesOptions options) {
  return std::make_shared<Pictures>(std::move(files), std::move(options));
}

}  // namespace espalier::data
