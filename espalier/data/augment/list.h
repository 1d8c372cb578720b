// SPDX-License-Identifier: Apache-2.0
/// Random changes of training images by name, as texts give them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <espalier/data/augment/transform.h>

namespace espalier::data {

/// What a loader is to do with training images (`LoaderOptions`).
struct Augments {
  Augmentation placement = {};                               ///< crop, flip and cutout
  std::vector<std::shared_ptr<const Transform>> transforms;  ///< in their order
};

/// A transform that has a name.
struct NamedTransform {
  std::string name;  ///< as told
  std::string help;  ///< one line for people
  /// What the number of `name=NUMBER` means and what stands for it without one.
  double usual = 0.0;
  /// Makes it of that number. Throws ValueError for one that makes no sense.
  std::function<std::shared_ptr<const Transform>(double number)> make;
};

/// All that are known, those that programs registered at the end.
const std::vector<NamedTransform>& known_transforms();

/// Adds one of a program's own, before threads are started. Throws ValueError for a name that is
/// empty, taken, or has a comma or an equals sign.
void register_transform(NamedTransform transform);

/// Reads names separated by commas, each perhaps with a number behind `=`. `none` alone is nothing.
/// `standard` is `crop`, and `flip` where `mirrors` says that a mirrored image of this data set is
/// what it was; `standard+cutout` adds `cutout`. `crop` cuts a window out of an image padded by an
/// eighth of its height, `cutout` takes a square of half its height, or as many pixels as told.
/// These come first, wherever they stand; the others keep their order, and of `mixup` and `cutmix`
/// together one is chosen for each batch. Throws ValueError for a name that is unknown (listing the
/// known ones) or told twice, and for a number that makes no sense.
Augments read_augments(const std::string& text, const ImageShape& shape, bool mirrors);

}  // namespace espalier::data
