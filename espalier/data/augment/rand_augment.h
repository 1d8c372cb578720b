// SPDX-License-Identifier: Apache-2.0
/// RandAugment: a few random operations on each image, all of one strength.
#pragma once

#include <espalier/data/augment/transform.h>

namespace espalier::data {

/// How much; the defaults are torchvision's.
struct RandAugmentOptions {
  int64_t operations = 2;  ///< one after the other on an image, each drawn anew
  int64_t magnitude = 9;   ///< their strength, of 30
};

/// The fourteen operations of the paper. At magnitude m, with f = m / 30: shears by 0.3 f, shifts
/// by 150/331 f of the side, turns by 30 f degrees, factors 1 + 0.9 f of brightness, colour,
/// contrast and sharpness, all of either sign; posterize to 8 - round(4 f) bits, solarize from
/// 255 (1 - f) on; autocontrast, equalize, and nothing. Nearest pixels, black where nothing is.
/// Source: Cubuk et al., arXiv:1909.13719, with the ranges of torchvision's RandAugment.
class RandAugment final : public Transform {
 public:
  /// The operations, in the order of torchvision's table.
  enum class Operation : uint8_t {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
  };

  /// Throws ValueError for a negative number of operations or a magnitude out of 0 .. 30.
  explicit RandAugment(const RandAugmentOptions& options = {});
  std::string name() const override { return "rand-augment"; }
  void change_image(TrainingImage& image, const Moment& moment) const override;
  /// One operation of a strength f in -1 .. 1; its sign tells in those that have one.
  static void apply(TrainingImage& image, Operation operation, double f);

 private:
  RandAugmentOptions options_;
};

}  // namespace espalier::data
