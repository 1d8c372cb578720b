// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/picture_tree.h>

#include <algorithm>
#include <cctype>
#include <string_view>
#include <system_error>

#include <espalier/core/detail/printable.h>
#include <espalier/core/error.h>
#include <espalier/data/detail/file_checks.h>

namespace espalier::data::detail {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWhat = "image folder";
constexpr std::string_view kTestNames[] = {"test", "val", "valid", "validation"};
constexpr std::string_view kSplitNames[] = {
    "train", "training", "test", "testing", "val", "valid", "validation", "eval", "dev"};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return text;
}

bool is_picture(const fs::path& path) {
  const std::string ending = lower(path.extension().string());
  for (const std::string_view known : {".png", ".jpg", ".jpeg", ".webp", ".bmp"}) {
    if (ending == known) return true;
  }
  return false;
}

bool is_hidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

// What is in `folder`, sorted.
std::vector<fs::path> list(const fs::path& folder) {
  check_directory(folder, kWhat);
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    out.push_back(at->path());
  }
  ESPALIER_CHECK(
      !error, IoError, kWhat, ": ", folder.string(), " can't be listed: ", error.message());
  std::sort(out.begin(), out.end());
  return out;
}

bool holds_folders(const fs::path& folder) {
  for (const fs::path& path : list(folder)) {
    if (is_folder(path) && !is_hidden(path)) return true;
  }
  return false;
}

bool holds_files(const fs::path& folder) {
  for (const fs::path& path : list(folder)) {
    if (!is_folder(path) && is_picture(path)) return true;
  }
  return false;
}

void collect(const fs::path& folder, bool is_class, ClassPictures& out, LeftOut& left_out) {
  for (const fs::path& path : list(folder)) {
    if (is_hidden(path)) {
      left_out.add("whose names begin with a dot", path);
    } else if (is_folder(path)) {
      std::error_code error;
      if (fs::is_symlink(path, error)) {
        left_out.add("in the place of pictures that are links to folders", path);
      } else {
        collect(path, false, out, left_out);
      }
    } else if (is_picture(path)) {
      out.files.push_back(path);
      out.any_direct = out.any_direct || is_class;
    } else {
      const std::string ending = lower(path.extension().string());
      left_out.add(ending.empty() ? "without an ending" : "ending in " + ending, path);
    }
  }
}

bool is_split_name(const std::string& name) {
  return std::find(std::begin(kSplitNames), std::end(kSplitNames), lower(name)) !=
         std::end(kSplitNames);
}

// One tree for both splits: its folders are classes, so none may be a split itself.
void check_is_one_tree(const fs::path& path) {
  for (const fs::path& folder : list(path)) {
    if (is_hidden(folder) || !is_folder(folder) || !is_split_name(folder.filename().string())) {
      continue;
    }
    ESPALIER_CHECK(!holds_folders(folder),
                   IoError,
                   kWhat,
                   ": ",
                   path.string(),
                   " has a folder ",
                   folder.filename().string(),
                   " with folders in it, as a split has, but none called train; expects ",
                   "PATH/train/<class>/ and PATH/test/<class>/ (or val, valid, validation), or "
                   "PATH/<class>/");
  }
}

void note_other_folders(const fs::path& path, const fs::path& test, SplitPlaces& places) {
  int64_t count = 0;
  fs::path example;
  for (const fs::path& folder : list(path)) {
    const std::string name = folder.filename().string();
    if (is_hidden(folder) || !is_folder(folder) || name == "train" || folder == test) continue;
    if (count++ == 0) example = folder;
  }
  if (count == 0) return;
  places.notes.push_back(
      espalier::detail::printable_line(cat("training and test pictures are those of train and ",
                                           test.empty() ? "test" : test.filename().string(),
                                           "; not read beside them: ",
                                           count,
                                           count == 1 ? " folder, " : " folders, for example ",
                                           example.string())));
}

}  // namespace

SplitPlaces find_splits(const fs::path& path, Split split) {
  check_directory(path, kWhat);
  fs::path test;
  for (const std::string_view name : kTestNames) {
    if (test.empty() && is_folder(path / name)) test = path / name;
  }
  const fs::path train = path / "train";
  // A folder train that holds pictures and no folders is a class of that name.
  const bool is_class = is_folder(train) && !holds_folders(train) && holds_files(train);
  if (!is_folder(train) || is_class) {
    check_is_one_tree(path);
    return {.train = path, .wanted = path, .by_count = true, .notes = {}};
  }
  SplitPlaces places{.train = train, .wanted = train, .by_count = false, .notes = {}};
  note_other_folders(path, test, places);
  if (split == Split::Train) return places;
  ESPALIER_CHECK(!test.empty(),
                 IoError,
                 kWhat,
                 ": ",
                 path.string(),
                 " has a folder train, but neither test nor val, valid or validation");
  places.wanted = test;
  return places;
}

void LeftOut::add(const std::string& reason, const fs::path& path) {
  Found& found = found_[reason];
  if (found.count++ == 0) found.example = path;
}

std::vector<std::string> LeftOut::notes() const {
  std::vector<std::string> out;
  for (const auto& [reason, found] : found_) {
    // A name may have any bytes; notes go into JSON.
    out.push_back(espalier::detail::printable_line(cat("left out: ",
                                                       found.count,
                                                       found.count == 1 ? " file " : " files ",
                                                       reason,
                                                       found.count == 1 ? ", " : ", for example ",
                                                       found.example.string())));
  }
  return out;
}

std::vector<std::string> class_folders(const fs::path& split, LeftOut& left_out) {
  std::vector<std::string> out;
  std::error_code error;
  const std::string real = fs::weakly_canonical(split, error).string() + "/";
  for (const fs::path& path : list(split)) {
    if (is_hidden(path)) {
      left_out.add("whose names begin with a dot", path);
    } else if (!is_folder(path)) {
      left_out.add("beside the folders of classes", path);
    } else {
      ESPALIER_CHECK(!real.starts_with(fs::weakly_canonical(path, error).string() + "/"),
                     IoError,
                     kWhat,
                     ": ",
                     path.string(),
                     " is a link to a folder that holds it, no class");
      out.push_back(path.filename().string());
      check_class_name(out.back(), path.string(), kWhat);
    }
  }
  return out;
}

ClassPictures pictures_of_class(const fs::path& folder, LeftOut& left_out) {
  ClassPictures out;
  collect(folder, true, out, left_out);
  std::sort(out.files.begin(), out.files.end());
  return out;
}

}  // namespace espalier::data::detail
