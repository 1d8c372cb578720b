// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/colours.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

namespace espalier::data::detail {
namespace {

constexpr int64_t kColours = 3;
constexpr std::array<double, kColours> kGrey = {0.299, 0.587, 0.114};  // ITU-R BT.601

/// Colours about a grey: 0 is the grey, 1 is the image.
template <class Grey>
void mix(const Planes& image, double share, const Grey& grey) {
  for (int64_t i = 0; i < image.size(); ++i) {
    const double about = grey(i);
    for (int64_t c = 0; c < image.channels; ++c) {
      const double mixed = about + share * (image.at(c, i) - about);
      image.at(c, i) = static_cast<float>(std::clamp(mixed, 0.0, 1.0));
    }
  }
}

}  // namespace

double Planes::grey(int64_t pixel) const {
  if (!coloured()) return at(0, pixel);
  double sum = 0.0;
  for (int64_t c = 0; c < kColours; ++c) sum += kGrey[static_cast<size_t>(c)] * at(c, pixel);
  return sum;
}

void change_brightness(const Planes& image, double factor) {
  for (int64_t i = 0; i < image.channels * image.size(); ++i) {
    image.data[i] = std::clamp(static_cast<float>(image.data[i] * factor), 0.0F, 1.0F);
  }
}

void change_contrast(const Planes& image, double factor) {
  double mean = 0.0;
  for (int64_t i = 0; i < image.size(); ++i) mean += image.grey(i);
  mean /= static_cast<double>(image.size());
  mix(image, factor, [&](int64_t) { return mean; });
}

void change_saturation(const Planes& image, double factor) {
  mix(image, factor, [&](int64_t i) { return image.grey(i); });
}

void change_sharpness(const Planes& image, double factor) {
  constexpr double kMiddle = 5.0;
  constexpr double kAll = kMiddle + 8.0;
  const std::vector<float> in(image.data, image.data + image.channels * image.size());
  for (int64_t c = 0; c < image.channels; ++c) {
    for (int64_t y = 1; y + 1 < image.height; ++y) {
      for (int64_t x = 1; x + 1 < image.width; ++x) {
        const int64_t at = c * image.size() + y * image.width + x;
        double sum = (kMiddle - 1.0) * in[static_cast<size_t>(at)];
        for (int64_t row = -1; row <= 1; ++row) {
          for (int64_t column = -1; column <= 1; ++column) {
            sum += in[static_cast<size_t>(at + row * image.width + column)];
          }
        }
        const double blurred = sum / kAll;
        const double sharp = blurred + factor * (in[static_cast<size_t>(at)] - blurred);
        image.data[at] = static_cast<float>(std::clamp(sharp, 0.0, 1.0));
      }
    }
  }
}

void turn_hue(const Planes& image, double turns) {
  const double c = std::cos(2.0 * std::numbers::pi * turns);
  const double s = std::sin(2.0 * std::numbers::pi * turns);
  for (int64_t i = 0; i < image.size(); ++i) {
    const double r = image.at(0, i), g = image.at(1, i), b = image.at(2, i);
    const double y = image.grey(i);
    const double in_phase = 0.595716 * r - 0.274453 * g - 0.321263 * b;
    const double quadrature = 0.211456 * r - 0.522591 * g + 0.311135 * b;
    const double turned_i = c * in_phase - s * quadrature;
    const double turned_q = s * in_phase + c * quadrature;
    const std::array<double, kColours> rgb = {y + 0.9563 * turned_i + 0.6210 * turned_q,
                                              y - 0.2721 * turned_i - 0.6474 * turned_q,
                                              y - 1.1070 * turned_i + 1.7046 * turned_q};
    for (int64_t k = 0; k < kColours; ++k) {
      image.at(k, i) = static_cast<float>(std::clamp(rgb[static_cast<size_t>(k)], 0.0, 1.0));
    }
  }
}

}  // namespace espalier::data::detail
