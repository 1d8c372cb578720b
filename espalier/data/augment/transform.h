// SPDX-License-Identifier: Apache-2.0
/// Transform: one random change of training images, or of a batch of them. Derive from it to add
/// one of your own; a loader applies a list of them (`LoaderOptions::transforms`), the names that
/// are known are in list.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/core/random.h>
#include <espalier/data/batch.h>
#include <espalier/data/transform.h>

namespace espalier::data {

/// What a random change is a function of, and nothing else: neither of threads nor of what was
/// drawn before. So a batch can be made again at any time.
struct Moment {
  uint64_t seed = 0;  ///< of the loader
  int64_t epoch = 0;  ///< the running one
  int64_t index = 0;  ///< of the sample in its data set, or of the batch in its epoch

  /// The random numbers of a purpose at this moment. One purpose a transform keeps what others draw
  /// as it was.
  Rng stream(std::string_view purpose) const;
};

/// One training image on its way into a batch.
struct TrainingImage {
  std::span<uint8_t> pixels;  ///< C*H*W values, planes first
  ImageShape shape = {};      ///< their C, H, W
  /// Rectangles that are set to the mean (0 after normalization) once all transforms are done;
  /// within the image.
  std::vector<Box> erased = {};
};

/// See above. Constant: workers share it.
class Transform {
 public:
  virtual ~Transform() = default;
  /// In errors, and of its random streams.
  virtual std::string name() const = 0;
  /// Changes one image in place, before it is normalized.
  virtual void change_image(TrainingImage& image, const Moment& moment) const;
  /// Changes a batch whose images are normalized, in the loader's layout. `classes`: how many
  /// labels there are, the columns of `Batch::shares`.
  virtual void change_batch(Batch& batch, int64_t classes, const Moment& moment) const;
};

}  // namespace espalier::data
