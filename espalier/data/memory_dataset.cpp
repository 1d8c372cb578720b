// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/memory_dataset.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <espalier/core/error.h>
#include <espalier/data/detail/checks.h>

namespace espalier::data {

MemoryDataset::MemoryDataset(MemoryContent content) : content_(std::move(content)) {
  const std::string op = cat("data set ", content_.name);
  const ImageShape& shape = content_.shape;
  ESPALIER_CHECK(shape.channels > 0 && shape.height > 0 && shape.width > 0,
                 ValueError,
                 op,
                 ": expects a positive image size, got ",
                 shape.channels,
                 "x",
                 shape.height,
                 "x",
                 shape.width);
  const int64_t classes = static_cast<int64_t>(content_.class_names.size());
  ESPALIER_CHECK(
      classes >= 1 && classes <= 256, ValueError, op, ": expects 1 to 256 classes, got ", classes);
  ESPALIER_CHECK(static_cast<int64_t>(content_.pixels.size()) == size() * shape.numel(),
                 ValueError,
                 op,
                 ": ",
                 size(),
                 " labels need ",
                 size() * shape.numel(),
                 " pixel values, got ",
                 content_.pixels.size());
  const auto channels = static_cast<size_t>(shape.channels);
  ESPALIER_CHECK(content_.mean.size() == channels && content_.stddev.size() == channels,
                 ValueError,
                 op,
                 ": expects a mean and a standard deviation for each of ",
                 shape.channels,
                 " channels");
  for (float value : content_.stddev) {
    ESPALIER_CHECK(value > 0.0f, ValueError, op, ": expects positive standard deviations");
  }
  for (size_t i = 0; i < content_.labels.size(); ++i) {
    ESPALIER_CHECK(content_.labels[i] < classes,
                   ValueError,
                   op,
                   ": label ",
                   int{content_.labels[i]},
                   " of sample ",
                   i,
                   " is out of range; expects 0..",
                   classes - 1);
  }
}

void MemoryDataset::read(int64_t index, std::span<uint8_t> pixels) const {
  detail::check_read(*this, index, pixels);
  std::copy_n(content_.pixels.data() + index * content_.shape.numel(),
              content_.shape.numel(),
              pixels.data());
}

int64_t MemoryDataset::label(int64_t index) const {
  detail::check_index(*this, index);
  return content_.labels[static_cast<size_t>(index)];
}

ChannelStatistics channel_statistics(const Dataset& dataset) {
  ESPALIER_CHECK(
      dataset.size() > 0, ValueError, "channel_statistics: data set ", dataset.name(), " is empty");
  const ImageShape shape = dataset.image_shape();
  const int64_t plane = shape.height * shape.width;
  std::vector<uint8_t> pixels(static_cast<size_t>(shape.numel()));
  std::vector<uint64_t> sum(static_cast<size_t>(shape.channels));
  std::vector<uint64_t> squares(static_cast<size_t>(shape.channels));
  for (int64_t i = 0; i < dataset.size(); ++i) {
    dataset.read(i, pixels);
    for (int64_t c = 0; c < shape.channels; ++c) {
      const uint8_t* x = pixels.data() + c * plane;
      for (int64_t p = 0; p < plane; ++p) {
        sum[static_cast<size_t>(c)] += x[p];
        squares[static_cast<size_t>(c)] += uint64_t{x[p]} * x[p];
      }
    }
  }
  ChannelStatistics out;
  const double n = static_cast<double>(dataset.size()) * static_cast<double>(plane);
  for (size_t c = 0; c < sum.size(); ++c) {
    const double mean = static_cast<double>(sum[c]) / n;
    const double variance = static_cast<double>(squares[c]) / n - mean * mean;
    out.mean.push_back(static_cast<float>(mean / 255.0));
    out.stddev.push_back(static_cast<float>(std::sqrt(std::max(variance, 0.0)) / 255.0));
  }
  return out;
}

}  // namespace espalier::data
