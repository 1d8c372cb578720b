// SPDX-License-Identifier: Apache-2.0
/// Folders of PNG and JPEG files, one folder a class.
#pragma once

#include <filesystem>
#include <memory>

#include <espalier/data/dataset.h>

namespace espalier::data {

/// Opens a folder of pictures (.png, .jpg, .jpeg, any case), colour or grey, read as three
/// channels.
///
/// With PATH/train, PATH/<split>/<class>/ holds the files of a class, and the test split is
/// PATH/test or, when that is absent, PATH/val. Otherwise PATH/<class>/ holds all, and of every
/// class, in the order of names, each fifth file is the test split. Classes are the folders of the
/// training split by name, at most 256; names that begin with a dot, and other files, are left out.
///
/// The first picture of the training split gives the size. Another size is cut, around its centre,
/// to the same aspect and scaled to it. Headers of all files are checked when opening; pictures are
/// decoded when they are read, by any thread. Mean and deviation are (0.485, 0.456, 0.406) and
/// (0.229, 0.224, 0.225).
///
/// Throws IoError naming the path: missing, no permission, no classes, no pictures, a file that is
/// not a picture or is larger than 64 megapixels; `read` throws it for a broken or vanished file.
std::shared_ptr<const Dataset> open_image_folder(const std::filesystem::path& path, Split split);

}  // namespace espalier::data
