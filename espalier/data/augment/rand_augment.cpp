// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/augment/rand_augment.h>

#include <cmath>

#include <espalier/core/error.h>
#include <espalier/data/detail/in_floats.h>
#include <espalier/data/detail/tones.h>
#include <espalier/data/detail/warp.h>

namespace espalier::data {
namespace {

constexpr int64_t kStrongest = 30;
constexpr uint64_t kOperations = 14;

void shift(TrainingImage& image, double columns, double rows) {
  detail::warp(image, {.x0 = -std::trunc(columns), .y0 = -std::trunc(rows)});
}

}  // namespace

RandAugment::RandAugment(const RandAugmentOptions& options) : options_(options) {
  ESPALIER_CHECK(
      options.operations >= 0 && options.magnitude >= 0 && options.magnitude <= kStrongest,
      ValueError,
      "rand-augment: expects operations >= 0 and a magnitude in 0..",
      kStrongest,
      ", got ",
      options.operations,
      " and ",
      options.magnitude);
}

void RandAugment::apply(TrainingImage& image, Operation operation, double f) {
  constexpr double kMostShear = 0.3;
  constexpr double kMostShift = 150.0 / 331.0;
  constexpr double kMostDegrees = 30.0;
  constexpr double kMostFactor = 0.9;
  const double factor = 1.0 + kMostFactor * f;
  const auto in_floats = [&](void (*change)(const detail::Planes&, double)) {
    detail::in_floats(image, [&](const detail::Planes& planes) { change(planes, factor); });
  };
  switch (operation) {
    case Operation::Identity:
      return;
    case Operation::ShearX:
      return detail::warp(image, {.xy = kMostShear * f});
    case Operation::ShearY:
      return detail::warp(image, {.yx = kMostShear * f});
    case Operation::TranslateX:
      return shift(image, kMostShift * f * static_cast<double>(image.shape.width), 0.0);
    case Operation::TranslateY:
      return shift(image, 0.0, kMostShift * f * static_cast<double>(image.shape.height));
    case Operation::Rotate:
      return detail::warp(image, detail::rotation_map(image.shape, kMostDegrees * f));
    case Operation::Brightness:
      return in_floats(detail::change_brightness);
    case Operation::Color:
      if (image.shape.channels == 3) in_floats(detail::change_saturation);
      return;
    case Operation::Contrast:
      return in_floats(detail::change_contrast);
    case Operation::Sharpness:
      return in_floats(detail::change_sharpness);
    case Operation::Posterize:
      return detail::posterize(image, 8 - static_cast<int>(std::nearbyint(4.0 * std::abs(f))));
    case Operation::Solarize:
      return detail::solarize(image, 255.0 * (1.0 - std::abs(f)));
    case Operation::AutoContrast:
      return detail::stretch_contrast(image);
    case Operation::Equalize:
      return detail::equalize(image);
  }
}

void RandAugment::change_image(TrainingImage& image, const Moment& moment) const {
  Rng rng = moment.stream("augment/rand-augment");
  const double strength = static_cast<double>(options_.magnitude) / static_cast<double>(kStrongest);
  for (int64_t i = 0; i < options_.operations; ++i) {
    const auto operation = static_cast<Operation>(rng.below(kOperations));
    const bool negative = rng.below(2) == 1;
    apply(image, operation, negative ? -strength : strength);
  }
}

}  // namespace espalier::data
