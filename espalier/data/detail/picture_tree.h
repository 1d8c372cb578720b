// SPDX-License-Identifier: Apache-2.0
/// Which pictures of a folder belong to which class, and what is left out. Decodes nothing. Not a
/// public interface.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <espalier/data/dataset.h>

namespace espalier::data::detail {

/// Where the splits of an image folder lie.
struct SplitPlaces {
  std::filesystem::path train;
  std::filesystem::path wanted;  ///< of the split that was asked for
  bool by_count = false;         ///< both are one tree, of which each fifth picture is for tests
  std::vector<std::string> notes;
};

/// Finds them (see open_image_folder). Throws IoError naming the path.
SplitPlaces find_splits(const std::filesystem::path& path, Split split);

/// Files and folders that are not read, by the reason.
class LeftOut {
 public:
  /// Counts one.
  void add(const std::string& reason, const std::filesystem::path& path);
  /// A sentence for each reason: how many, and one of them.
  std::vector<std::string> notes() const;

 private:
  struct Found {
    int64_t count = 0;
    std::filesystem::path example;
  };
  std::map<std::string, Found> found_;
};

/// The class folders of a split by name; counts the files beside them. Throws IoError for a folder
/// that can't be listed, that is a link to one that holds it, or whose name is not UTF-8.
std::vector<std::string> class_folders(const std::filesystem::path& split, LeftOut& left_out);

/// Pictures of a class.
struct ClassPictures {
  std::vector<std::filesystem::path> files;  ///< sorted, those in folders below too
  bool any_direct = false;                   ///< at least one lies in the class's folder itself
};
/// Throws IoError naming a folder that can't be listed.
ClassPictures pictures_of_class(const std::filesystem::path& folder, LeftOut& left_out);

/// The endings that are read, for messages.
inline constexpr const char* kPictureEndings = ".png, .jpg, .jpeg, .webp, .bmp";

}  // namespace espalier::data::detail
