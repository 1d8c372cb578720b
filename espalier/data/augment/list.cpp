// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/augment/list.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include <espalier/core/error.h>
#include <espalier/core/options/option.h>
#include <espalier/data/augment/alternating_flip.h>
#include <espalier/data/augment/color_jitter.h>
#include <espalier/data/augment/cutmix.h>
#include <espalier/data/augment/mixup.h>
#include <espalier/data/augment/one_of.h>
#include <espalier/data/augment/rand_augment.h>
#include <espalier/data/augment/random_erasing.h>
#include <espalier/data/augment/rotation.h>

namespace espalier::data {
namespace {

std::vector<NamedTransform> built_in() {
  return {
      {"alternating-flip",
       "mirrored in every second epoch",
       0.0,
       [](double) { return std::make_shared<AlternatingFlip>(); }},
      {"rotation",
       "turned by up to so many degrees",
       15.0,
       [](double degrees) { return std::make_shared<Rotation>(degrees); }},
      {"color-jitter",
       "brightness, contrast and saturation times 1 +- so much, hue a quarter of it",
       0.4,
       [](double strength) {
         return std::make_shared<ColorJitter>(ColorJitterOptions{.brightness = strength,
                                                                 .contrast = strength,
                                                                 .saturation = strength,
                                                                 .hue = strength / 4.0});
       }},
      {"rand-augment",
       "two of fourteen operations, of a magnitude in 0..30",
       9.0,
       [](double magnitude) {
         ESPALIER_CHECK(magnitude >= 0.0 && magnitude <= 30.0 &&
                            magnitude == static_cast<double>(static_cast<int64_t>(magnitude)),
                        ValueError,
                        "rand-augment: expects a whole magnitude in 0..30, got ",
                        magnitude);
         return std::make_shared<RandAugment>(
             RandAugmentOptions{.magnitude = static_cast<int64_t>(magnitude)});
       }},
      {"erasing",
       "a rectangle becomes the mean, with so much probability",
       0.5,
       [](double probability) {
         return std::make_shared<RandomErasing>(RandomErasingOptions{.probability = probability});
       }},
      {"mixup",
       "images of a batch fade into one another, by Beta(a, a)",
       0.2,
       [](double alpha) { return std::make_shared<Mixup>(alpha); }},
      {"cutmix",
       "rectangles of a batch change places, by Beta(a, a)",
       1.0,
       [](double alpha) { return std::make_shared<CutMix>(alpha); }},
  };
}

std::vector<NamedTransform>& transforms() {
  static std::vector<NamedTransform> list = built_in();
  return list;
}

constexpr const char* kPlacements[] = {
    "none", "standard", "standard+cutout", "crop", "flip", "cutout"};

bool is_placement(const std::string& name) {
  return std::find(std::begin(kPlacements), std::end(kPlacements), name) != std::end(kPlacements);
}

std::string known_names() {
  std::string out;
  for (const char* name : kPlacements) out += cat(out.empty() ? "" : ", ", name);
  for (const NamedTransform& known : transforms()) out += ", " + known.name;
  return out;
}

// `name` or `name=NUMBER`.
struct Part {
  std::string name;
  std::optional<double> number;
};

Part part_of(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) return {text, std::nullopt};
  const std::string number = text.substr(equals + 1);
  double value = 0.0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  ESPALIER_CHECK(
      error == std::errc() && end == number.data() + number.size() && std::isfinite(value),
      ValueError,
      "augment: expects a number behind '",
      text.substr(0, equals),
      "=', got '",
      number,
      "'");
  return {text.substr(0, equals), value};
}

int64_t pixels_of(const Part& part, int64_t usual) {
  if (!part.number) return usual;
  ESPALIER_CHECK(*part.number >= 0.0 && *part.number <= 4096.0 &&
                     *part.number == static_cast<double>(static_cast<int64_t>(*part.number)),
                 ValueError,
                 "augment: ",
                 part.name,
                 " expects a whole number of pixels, got ",
                 *part.number);
  return static_cast<int64_t>(*part.number);
}

void place(const Part& part, const ImageShape& shape, bool mirrors, Augmentation& out) {
  const bool standard = part.name.starts_with("standard");
  ESPALIER_CHECK(!part.number || part.name == "crop" || part.name == "cutout",
                 ValueError,
                 "augment: ",
                 part.name,
                 " takes no number");
  if (standard || part.name == "crop") out.crop_padding = pixels_of(part, shape.height / 8);
  if (part.name == "flip" || (standard && mirrors)) out.horizontal_flip = true;
  if (part.name.ends_with("cutout")) out.cutout = pixels_of(part, shape.height / 2);
}

std::shared_ptr<const Transform> make(const Part& part) {
  for (const NamedTransform& known : transforms()) {
    if (known.name == part.name) return known.make(part.number.value_or(known.usual));
  }
  throw ValueError(cat("augment: unknown name '", part.name, "'; known are ", known_names()));
}

}  // namespace

const std::vector<NamedTransform>& known_transforms() {
  return transforms();
}

void register_transform(NamedTransform transform) {
  const std::string& name = transform.name;
  ESPALIER_CHECK(!name.empty() && name.find_first_of(",=") == std::string::npos && transform.make,
                 ValueError,
                 "register_transform: expects a name without comma or equals sign, and how it is "
                 "made, got '",
                 name,
                 "'");
  const bool taken = is_placement(name) ||
                     std::any_of(transforms().begin(),
                                 transforms().end(),
                                 [&](const NamedTransform& one) { return one.name == name; });
  ESPALIER_CHECK(!taken, ValueError, "register_transform: the name ", name, " is taken");
  transforms().push_back(std::move(transform));
}

Augments read_augments(const std::string& text, const ImageShape& shape, bool mirrors) {
  Augments out;
  std::set<std::string> told;
  std::vector<std::shared_ptr<const Transform>> mixing;
  const std::vector<std::string> names = split_names(text);
  ESPALIER_CHECK(!names.empty(),
                 ValueError,
                 "augment: expects names separated by commas, got '",
                 text,
                 "'; known are ",
                 known_names());
  for (const std::string& name : names) {
    const Part part = part_of(name);
    ESPALIER_CHECK(
        told.insert(part.name).second, ValueError, "augment: ", part.name, " is there twice");
    if (is_placement(part.name)) {
      place(part, shape, mirrors, out.placement);
    } else if (part.name == "mixup" || part.name == "cutmix") {
      mixing.push_back(make(part));
    } else {
      out.transforms.push_back(make(part));
    }
  }
  ESPALIER_CHECK(!told.contains("none") || told.size() == 1,
                 ValueError,
                 "augment: 'none' stands alone, got '",
                 text,
                 "'");
  if (mixing.size() == 1) out.transforms.push_back(mixing.front());
  if (mixing.size() > 1) out.transforms.push_back(std::make_shared<OneOf>(std::move(mixing)));
  return out;
}

}  // namespace espalier::data
