// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/tones.h>

#include <algorithm>
#include <array>

namespace espalier::data::detail {
namespace {

using Table = std::array<uint8_t, 256>;

void look_up(std::span<uint8_t> pixels, const Table& table) {
  for (uint8_t& pixel : pixels) pixel = table[pixel];
}

template <class TableOf>
void by_channel(TrainingImage& image, const TableOf& table_of) {
  const auto plane = static_cast<size_t>(image.shape.height * image.shape.width);
  for (size_t first = 0; first < image.pixels.size(); first += plane) {
    const std::span<uint8_t> channel = image.pixels.subspan(first, plane);
    look_up(channel, table_of(channel));
  }
}

template <class ValueOf>
Table table_of_values(const ValueOf& value_of) {
  Table table;
  for (int i = 0; i < 256; ++i) table[static_cast<size_t>(i)] = static_cast<uint8_t>(value_of(i));
  return table;
}

}  // namespace

void posterize(TrainingImage& image, int bits) {
  const int mask = 0xFF & ~((1 << (8 - bits)) - 1);
  look_up(image.pixels, table_of_values([&](int value) { return value & mask; }));
}

void solarize(TrainingImage& image, double threshold) {
  look_up(image.pixels,
          table_of_values([&](int value) { return value >= threshold ? 255 - value : value; }));
}

void stretch_contrast(TrainingImage& image) {
  by_channel(image, [](std::span<const uint8_t> channel) {
    const auto [least, most] = std::minmax_element(channel.begin(), channel.end());
    const int low = *least;
    const int high = *most;
    return table_of_values([&](int value) {
      if (low == high) return value;
      return (std::clamp(value, low, high) - low) * 255 / (high - low);
    });
  });
}

void equalize(TrainingImage& image) {
  by_channel(image, [](std::span<const uint8_t> channel) {
    std::array<int64_t, 256> count = {};
    for (const uint8_t pixel : channel) ++count[pixel];
    const int64_t brightest = *std::max_element(channel.begin(), channel.end());
    const auto all = static_cast<int64_t>(channel.size());
    const int64_t step = (all - count[static_cast<size_t>(brightest)]) / 255;
    int64_t below = 0;
    return table_of_values([&](int value) -> int64_t {
      if (step == 0) return value;
      const int64_t level = (below + step / 2) / step;
      below += count[static_cast<size_t>(value)];
      return std::min<int64_t>(level, 255);
    });
  });
}

}  // namespace espalier::data::detail
