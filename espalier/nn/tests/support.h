// SPDX-License-Identifier: Apache-2.0
/// What several test files of this folder use: small networks, data and exact comparison.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <espalier/core/random.h>
#include <espalier/data/memory_dataset.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

/// Random numbers in [-1, 1) that depend on the seed alone.
inline Tensor random_tensor(const Shape& shape, uint64_t seed, DType dtype = DType::F32) {
  Tensor out = Tensor::empty(shape, dtype);
  Rng rng(seed, "test");
  fill_uniform_(out, rng, -1.0, 1.0);
  return out;
}

/// A mask that keeps the positions where the number is not a multiple of 3.
inline Tensor two_thirds_mask(const Shape& shape) {
  std::vector<uint8_t> keep(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < keep.size(); ++i) keep[i] = i % 3 != 0;
  return Tensor::from<uint8_t>(shape, keep);
}

inline std::vector<double> values(const Tensor& tensor) {
  return tensor.to_vector<double>();
}

/// The largest difference of two tensors of one shape.
inline double max_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  const std::vector<double> x = values(a);
  const std::vector<double> y = values(b);
  double worst = 0.0;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    const double difference = std::abs(x[i] - y[i]);
    worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
  }
  return worst;
}

/// Copies of all tensors, to compare later.
inline std::map<std::string, std::vector<double>> snapshot(
    const std::map<std::string, Tensor>& tensors) {
  std::map<std::string, std::vector<double>> copy;
  for (const auto& [name, tensor] : tensors) copy.emplace(name, values(tensor));
  return copy;
}

inline std::map<std::string, Tensor> deep_copy(const std::map<std::string, Tensor>& tensors) {
  std::map<std::string, Tensor> copy;
  for (const auto& [name, tensor] : tensors) copy.emplace(name, tensor.clone());
  return copy;
}

/// What an exception of kind E says.
template <class E, class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << "expected an exception";
  return {};
}

/// `size` images of 1x8x8 in three classes; the class is the third of the rows that is bright.
inline std::shared_ptr<const data::Dataset> stripes(int64_t size) {
  data::MemoryContent content;
  content.name = "stripes";
  content.shape = {1, 8, 8};
  Rng rng(7, "stripes");
  for (int64_t i = 0; i < size; ++i) {
    const int64_t label = i % 3;
    for (int64_t p = 0; p < 64; ++p) {
      const bool bright = (p / 8) / 3 == label;
      content.pixels.push_back(static_cast<uint8_t>((bright ? 150 : 0) + rng.below(100)));
    }
    content.labels.push_back(static_cast<uint8_t>(label));
  }
  content.class_names = {"top", "middle", "bottom"};
  content.mean = {0.35f};
  content.stddev = {0.3f};
  return std::make_shared<data::MemoryDataset>(std::move(content));
}

/// Convolution, fused batch norm, pooling, dropout and a classifier for `stripes`.
inline std::unique_ptr<Sequential> tiny_net(uint64_t seed = 1) {
  auto net = std::make_unique<Sequential>();
  net->add("conv", Conv2d({.in_channels = 1, .out_channels = 5, .padding = 1, .bias = false}));
  net->add("bn", BatchNorm2d({.channels = 5, .relu = true}));
  net->add("pool", MaxPool2d({.kernel = 2}));
  net->add("flatten", Flatten());
  net->add("drop", Dropout(0.2));
  net->add("fc", Linear({.in = 5 * 16, .out = 3}));
  init_parameters(*net, seed);
  return net;
}

}  // namespace espalier::nn
