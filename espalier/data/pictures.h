// SPDX-License-Identifier: Apache-2.0
/// Pictures by their files, for a network that was trained on another data set.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include <espalier/data/dataset.h>

namespace espalier::data {

/// What pictures are made to look like.
struct PicturesOptions {
  ImageShape shape = {};                      ///< of every image; one or three channels
  std::vector<std::string> class_names = {};  ///< what a network may say of them; at least one
  std::vector<float> mean = {};               ///< of a channel's pixels / 255
  std::vector<float> stddev = {};             ///< their standard deviation
};

/// The pictures of these files, in this order, read as `open_image_folder` reads those of a folder:
/// cut around the centre to the shape's aspect and scaled; of one channel by their brightness. They
/// have no labels: `label` is 0. Headers are checked when opening. Throws IoError naming a file
/// that is no picture, ValueError for no files, no classes, or another number of channels than one
/// or three, or than mean and deviation have.
std::shared_ptr<const Dataset> open_pictures(std::vector<std::filesystem::path> files,
                                             PicturesOptions options);

}  // namespace espalier::data
