// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/image_folder.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <espalier/core/error.h>
#include <espalier/data/detail/checks.h>
#include <espalier/data/detail/image_file.h>
#include <espalier/data/detail/picture_tree.h>
#include <espalier/data/resized.h>

namespace espalier::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWhat = "image folder";
constexpr size_t kMaxClasses = 65536;
constexpr size_t kTestEvery = 5;

class ImageFolder final : public Dataset {
 public:
  ImageFolder(const fs::path& path, Split split, const ImageFolderOptions& options) {
    const detail::SplitPlaces places = detail::find_splits(path, split);
    detail::LeftOut left_out, left_out_of_train;
    classes_ = detail::class_folders(places.train, left_out_of_train);
    ESPALIER_CHECK(!classes_.empty() && classes_.size() <= kMaxClasses,
                   IoError,
                   kWhat,
                   ": ",
                   places.train.string(),
                   " has ",
                   classes_.size(),
                   " folders of classes, expects 1 to ",
                   kMaxClasses);
    const std::vector<detail::ClassPictures> training =
        training_pictures(places, options, left_out_of_train);
    const bool is_train = places.wanted == places.train;
    if (is_train) {
      left_out = left_out_of_train;
    } else {
      check_no_other_classes(places, left_out);
    }
    collect(places, split, training, left_out);
    set_size(training, options.image_size);
    for (const fs::path& file : files_) detail::image_size(file);
    notes_ = places.notes;
    for (std::string& note : left_out.notes()) notes_.push_back(std::move(note));
  }

  std::string name() const override { return "folder"; }
  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  ImageShape image_shape() const override { return {3, size_.height, size_.width}; }
  const std::vector<std::string>& class_names() const override { return classes_; }
  int64_t label(int64_t index) const override {
    detail::check_index(*this, index);
    return labels_[static_cast<size_t>(index)];
  }
  std::vector<float> mean() const override { return {0.485f, 0.456f, 0.406f}; }
  std::vector<float> stddev() const override { return {0.229f, 0.224f, 0.225f}; }
  std::vector<std::string> notes() const override { return notes_; }
  fs::path file_of(int64_t index) const override {
    detail::check_index(*this, index);
    return files_[static_cast<size_t>(index)];
  }

  void read(int64_t index, std::span<uint8_t> pixels) const override {
    detail::check_read(*this, index, pixels);
    detail::read_picture(files_[static_cast<size_t>(index)], image_shape(), pixels);
  }

 private:
  // Of every class, none of which may be without.
  std::vector<detail::ClassPictures> training_pictures(const detail::SplitPlaces& places,
                                                       const ImageFolderOptions& options,
                                                       detail::LeftOut& left_out) const {
    std::vector<detail::ClassPictures> out;
    bool any = false, any_direct = false;
    std::string empty;
    for (const std::string& name : classes_) {
      out.push_back(detail::pictures_of_class(places.train / name, left_out));
      any = any || !out.back().files.empty();
      any_direct = any_direct || out.back().any_direct;
      if (out.back().files.empty() && empty.empty()) empty = name;
    }
    std::string others;
    for (const std::string& note : left_out.notes()) others += "; " + note;
    ESPALIER_CHECK(any,
                   IoError,
                   kWhat,
                   ": ",
                   places.train.string(),
                   " has no pictures (",
                   detail::kPictureEndings,
                   ") in its folders",
                   others);
    ESPALIER_CHECK(any_direct,
                   IoError,
                   kWhat,
                   ": none of the folders in ",
                   places.train.string(),
                   " holds a picture itself, only folders below them do. Are the classes one level "
                   "further down? Then give that folder, for example ",
                   (places.train / classes_.front()).string());
    ESPALIER_CHECK(
        empty.empty() || options.allow_empty_classes,
        IoError,
        kWhat,
        ": class ",
        (places.train / empty).string(),
        " has no pictures (",
        detail::kPictureEndings,
        ")",
        others,
        ". A class without pictures is an output that nothing trains; remove the folder, "
        "or allow empty classes (--allow-empty-classes)");
    return out;
  }

  // A test picture of a class that training never saw has no label.
  void check_no_other_classes(const detail::SplitPlaces& places, detail::LeftOut& left_out) const {
    for (const std::string& name : detail::class_folders(places.wanted, left_out)) {
      ESPALIER_CHECK(std::binary_search(classes_.begin(), classes_.end(), name),
                     IoError,
                     kWhat,
                     ": ",
                     (places.wanted / name).string(),
                     " is a class that ",
                     places.train.string(),
                     " does not have");
    }
  }

  void collect(const detail::SplitPlaces& places,
               Split split,
               const std::vector<detail::ClassPictures>& training,
               detail::LeftOut& left_out) {
    for (size_t c = 0; c < classes_.size(); ++c) {
      detail::ClassPictures of_test;
      if (places.wanted != places.train) {
        const fs::path folder = places.wanted / classes_[c];
        std::error_code error;
        if (!fs::exists(folder, error)) continue;  // a class without test pictures
        of_test = detail::pictures_of_class(folder, left_out);
      }
      const std::vector<fs::path>& all =
          places.wanted == places.train ? training[c].files : of_test.files;
      for (size_t i = 0; i < all.size(); ++i) {
        const bool is_test = i % kTestEvery == kTestEvery - 1;
        if (places.by_count && is_test != (split == Split::Test)) continue;
        files_.push_back(all[i]);
        labels_.push_back(static_cast<int64_t>(c));
      }
    }
    ESPALIER_CHECK(
        !files_.empty(),
        IoError,
        kWhat,
        ": ",
        places.wanted.string(),
        " has no pictures (",
        detail::kPictureEndings,
        ") for this split. Without folders train and test, each fifth picture of a class "
        "is a test picture");
  }

  void set_size(const std::vector<detail::ClassPictures>& training, int64_t side) {
    ESPALIER_CHECK(side >= 0 && side <= kMostImageSide,
                   ValueError,
                   kWhat,
                   ": expects an image size of 1 .. ",
                   kMostImageSide,
                   ", or 0 for that of the first picture, got ",
                   side);
    if (side > 0) {
      size_ = {side, side};
      return;
    }
    const auto first = std::find_if(
        training.begin(), training.end(), [](const auto& one) { return !one.files.empty(); });
    size_ = detail::image_size(first->files.front());
  }

  std::vector<std::string> classes_;
  std::vector<fs::path> files_;
  std::vector<int64_t> labels_;
  std::vector<std::string> notes_;
  detail::ImageSize size_;
};

}  // namespace

std::shared_ptr<const Dataset> open_image_folder(const std::filesystem::path& path,
                                                 Split split,
                                                 const ImageFolderOptions& options) {
  return std::make_shared<ImageFolder>(path, split, options);
}

}  // namespace espalier::data
