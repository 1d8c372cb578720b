// SPDX-License-Identifier: Apache-2.0
/// MemoryDataset: a data set whose pixels and labels lie in memory. What the file readers return,
/// and the shortest way to train on arrays of your own. It reads no files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <espalier/data/dataset.h>

namespace espalier::data {

/// All that a MemoryDataset holds.
struct MemoryContent {
  std::string name;                      ///< for errors and reports
  ImageShape shape = {};                 ///< of every image
  std::vector<uint8_t> pixels;           ///< size() images of C*H*W values, planes first
  std::vector<uint8_t> labels;           ///< one a sample, below class_names.size()
  std::vector<std::string> class_names;  ///< 1 to 256 of them
  std::vector<float> mean;               ///< per channel, of pixels / 255
  std::vector<float> stddev;             ///< per channel, of pixels / 255, positive
};

/// A data set in memory.
class MemoryDataset final : public Dataset {
 public:
  /// Throws ValueError when the parts don't fit together or a label is out of range.
  explicit MemoryDataset(MemoryContent content);

  std::string name() const override { return content_.name; }
  int64_t size() const override { return static_cast<int64_t>(content_.labels.size()); }
  ImageShape image_shape() const override { return content_.shape; }
  const std::vector<std::string>& class_names() const override { return content_.class_names; }
  void read(int64_t index, std::span<uint8_t> pixels) const override;
  int64_t label(int64_t index) const override;
  std::vector<float> mean() const override { return content_.mean; }
  std::vector<float> stddev() const override { return content_.stddev; }

 private:
  MemoryContent content_;
};

/// Per-channel mean and standard deviation of pixels / 255 over a data set.
struct ChannelStatistics {
  std::vector<float> mean;    ///< per channel
  std::vector<float> stddev;  ///< per channel
};
/// Reads every image once; exact integer sums, so the result does not depend on the order.
/// Throws ValueError for an empty data set.
ChannelStatistics channel_statistics(const Dataset& dataset);

}  // namespace espalier::data
