// SPDX-License-Identifier: Apache-2.0
/// Random views of a batch of images, for losses that compare two views of one image. They are made
/// of the images that a loader gives, normalized, and are normalized again.
#pragma once

#include <cstdint>
#include <vector>

#include <espalier/core/random.h>
#include <espalier/core/tensor.h>

namespace espalier::data {

/// How far views go. Source of the defaults: Chen, Kornblith, Norouzi, Hinton, arXiv 2002.05709,
/// with crops of images that are small.
struct ViewOptions {
  double least_area = 0.2;    ///< a view shows a window of this share of the plane, or more, ..
  double aspect = 4.0 / 3.0;  ///< .. whose sides are at most this ratio from the image's
  double flip = 0.5;          ///< probability of a mirrored one
  double jitter = 0.8;        ///< probability of other colours
  double brightness = 0.4;    ///< a factor of 1 +- so much
  double contrast = 0.4;      ///< the same about the view's mean grey
  double saturation = 0.4;    ///< the same about each pixel's grey; of three channels
  double hue = 0.1;           ///< so many turns of the colour circle at most; of three channels
  double grey = 0.2;          ///< probability of no colour at all; of three channels
  bool operator==(const ViewOptions&) const = default;
};

/// A view of every image. images (N,C,H,W) float32 in any layout; the result is plain. mean and
/// stddev are those of the loader, by channel; empty: the images are pixels in 0 .. 1. Image n is a
/// function of `rng.fork(n)`. Throws ShapeError unless images have four dimensions, ValueError for
/// a mean of other channels.
Tensor random_views(const Tensor& images,
                    const std::vector<float>& mean,
                    const std::vector<float>& stddev,
                    const ViewOptions& options,
                    const Rng& rng);

}  // namespace espalier::data
