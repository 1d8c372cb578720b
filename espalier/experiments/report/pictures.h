// SPDX-License-Identifier: Apache-2.0
/// Pictures of what is in a network's file: the masks of its layers and the filters of its first
/// one, as PNG files in memory. No chart, no text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::experiments::report {

/// A PNG file and how it is best shown.
struct Picture {
  std::string name;     ///< of the layer
  std::string caption;  ///< what one pixel is
  int64_t width = 0;    ///< pixels
  int64_t height = 0;
  std::vector<uint8_t> png;
};

/// The pictures of one network.
struct NetworkPictures {
  std::vector<Picture> masks;    ///< of masked weights, in the order of the layers
  std::vector<Picture> filters;  ///< of the first layer; empty when it can't be shown
};

/// Reads `model.safetensors` of a run. Throws IoError for a bad file.
NetworkPictures network_pictures(const std::filesystem::path& model_file);

/// The mask of a weight (outputs, inputs, ..): a pixel an output and input, its opacity the kept
/// share of what it stands for. Sides longer than 96 are averaged down. `mask` holds 0 and 1, of
/// the weight's shape and any type.
Picture mask_picture(const std::string& name, const Tensor& mask);

/// Filters (outputs, channels, rows, columns) as tiles on a grid: three channels as red, green and
/// blue, otherwise the channels one after another in grey. A tile's zero is mid grey, its largest
/// magnitude white or black; removed weights are transparent. `mask` may be undefined.
Picture filter_picture(const std::string& name, const Tensor& weight, const Tensor& mask);

/// Base64 (RFC 4648) of bytes, for `data:` addresses.
std::string base64(const std::vector<uint8_t>& bytes);
/// The same of a text.
std::string base64(const std::string& text);

}  // namespace espalier::experiments::report
