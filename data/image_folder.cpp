// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/image_folder.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>
#include <vector>

#include <espalier/core/error.h>
#include <espalier/data/detail/checks.h>
#include <espalier/data/detail/file_checks.h>
#include <espalier/data/detail/image_file.h>

namespace espalier::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWhat = "image folder";
constexpr size_t kMaxClasses = 256;
constexpr size_t kTestEvery = 5;

bool is_picture(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

// Names in `folder` that `wanted` accepts, sorted, without hidden ones.
template <class Wanted>
std::vector<fs::path> list(const fs::path& folder, Wanted wanted) {
  detail::check_directory(folder, kWhat);
  std::vector<fs::path> out;
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with('.') && wanted(entry)) out.push_back(entry.path());
    }
  } catch (const fs::filesystem_error& error) {
    throw IoError(cat(kWhat, ": ", folder.string(), " can't be listed: ", error.what()));
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::string> class_folders(const fs::path& folder) {
  std::vector<std::string> out;
  for (const fs::path& path :
       list(folder, [](const auto& entry) { return entry.is_directory(); })) {
    out.push_back(path.filename().string());
  }
  return out;
}

std::vector<fs::path> pictures(const fs::path& folder) {
  return list(folder,
              [](const auto& entry) { return is_picture(entry.path()) && !entry.is_directory(); });
}

// Where the splits lie.
struct Places {
  fs::path train;
  fs::path wanted;
  bool split_by_count = false;  // both in one tree
};

Places find_places(const fs::path& path, Split split) {
  detail::check_directory(path, kWhat);
  std::error_code error;
  const auto has = [&](const char* name) { return fs::is_directory(path / name, error); };
  if (!has("train")) return {path, path, true};
  if (split == Split::Train) return {path / "train", path / "train", false};
  ESPALIER_CHECK(has("test") || has("val"),
                 IoError,
                 kWhat,
                 ": ",
                 path.string(),
                 " has a folder train, but neither test nor val");
  return {path / "train", path / (has("test") ? "test" : "val"), false};
}

class ImageFolder final : public Dataset {
 public:
  ImageFolder(const fs::path& path, Split split) {
    const Places places = find_places(path, split);
    classes_ = class_folders(places.train);
    ESPALIER_CHECK(!classes_.empty() && classes_.size() <= kMaxClasses,
                   IoError,
                   kWhat,
                   ": ",
                   places.train.string(),
                   " has ",
                   classes_.size(),
                   " folders of classes, expects 1 to ",
                   kMaxClasses);
    check_no_other_classes(places);
    collect(places, split);
    set_size(places);
    for (const fs::path& file : files_) detail::image_size(file);
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

  void read(int64_t index, std::span<uint8_t> pixels) const override {
    detail::check_read(*this, index, pixels);
    const detail::RgbImage image =
        detail::fit_image(detail::decode_image(files_[static_cast<size_t>(index)]), size_);
    const int64_t plane = size_.height * size_.width;
    for (int64_t p = 0; p < plane; ++p) {
      for (int64_t c = 0; c < 3; ++c) {
        pixels[static_cast<size_t>(c * plane + p)] = image.pixels[static_cast<size_t>(p * 3 + c)];
      }
    }
  }

 private:
  // A test picture of a class that training never saw has no label.
  void check_no_other_classes(const Places& places) const {
    for (const std::string& name : class_folders(places.wanted)) {
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

  void collect(const Places& places, Split split) {
    for (size_t c = 0; c < classes_.size(); ++c) {
      const fs::path folder = places.wanted / classes_[c];
      std::error_code error;
      if (!fs::exists(folder, error)) continue;  // a class without test pictures
      const std::vector<fs::path> all = pictures(folder);
      for (size_t i = 0; i < all.size(); ++i) {
        const bool is_test = i % kTestEvery == kTestEvery - 1;
        if (places.split_by_count && is_test != (split == Split::Test)) continue;
        files_.push_back(all[i]);
        labels_.push_back(static_cast<int64_t>(c));
      }
    }
    ESPALIER_CHECK(!files_.empty(),
                   IoError,
                   kWhat,
                   ": ",
                   places.wanted.string(),
                   " has no pictures (.png, .jpg) for this split. Without folders train and test, ",
                   "each fifth picture of a class is a test picture");
  }

  void set_size(const Places& places) {
    for (const std::string& name : classes_) {
      const std::vector<fs::path> all = pictures(places.train / name);
      if (all.empty()) continue;
      size_ = detail::image_size(all.front());
      return;
    }
    throw IoError(cat(kWhat, ": ", places.train.string(), " has no pictures (.png, .jpg)"));
  }

  std::vector<std::string> classes_;
  std::vector<fs::path> files_;
  std::vector<int64_t> labels_;
  detail::ImageSize size_;
};

}  // namespace

std::shared_ptr<const Dataset> open_image_folder(const std::filesystem::path& path, Split split) {
  return std::make_shared<ImageFolder>(path, split);
}

}  // namespace espalier::data
