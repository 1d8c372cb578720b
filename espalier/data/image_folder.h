// SPDX-License-Identifier: Apache-2.0
/// Folders of pictures, one folder a class.
#pragma once

#include <filesystem>
#include <memory>

#include <espalier/data/dataset.h>

namespace espalier::data {

/// How a folder is read.
struct ImageFolderOptions {
  bool allow_empty_classes = false;  ///< a class without training pictures is no error
  int64_t image_size = 0;            ///< side of square images; 0: the first picture's size
};

/// Opens a folder of pictures (.png, .jpg, .jpeg, .webp, .bmp, any case), colour or grey, read as
/// three channels; transparency is dropped.
///
/// With PATH/train, PATH/train/<class>/ holds the files of a class, and the test split is the first
/// of PATH/test, PATH/val, PATH/valid and PATH/validation. Otherwise PATH/<class>/ holds all, and
/// of every class, in the order of names, each fifth file is the test split; so it is when
/// PATH/train holds no folders: then it is a class of that name. Pictures in folders below a
/// class's belong to it. Classes are the folders of the training split by name, at most 65536. What
/// is not read is counted in `notes()`: files with other endings (by ending), names that begin with
/// a dot, links to folders, files beside the class folders, other folders beside `train`.
///
/// The first picture of the training split gives the size, unless a side is given. A picture of
/// another size is cut, around its centre, to the same aspect and scaled to it: of a square as if
/// its shorter side were scaled and its longer one cut. Headers of all files are checked when
/// opening; pictures are decoded when they are read, by any thread. Mean and deviation are (0.485,
/// 0.456, 0.406) and (0.229, 0.224, 0.225).
///
/// Throws IoError naming the path: missing, no permission, no classes, no pictures, a class without
/// training pictures, folders that look like splits or hold no picture themselves, a file that is
/// not a picture or is larger than 64 megapixels; ValueError for a side outside of
/// 0 .. kMostImageSide; `read` throws it for a broken or vanished file.
std::shared_ptr<const Dataset> open_image_folder(const std::filesystem::path& path,
                                                 Split split,
                                                 const ImageFolderOptions& options = {});

}  // namespace espalier::data
