// SPDX-License-Identifier: Apache-2.0
/// Networks and data small enough that tests train them in milliseconds.
#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <espalier/data/loader.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/layers/residual.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::prune::testing {

/// Images of 3x8x8 whose class is the colour that is strongest.
class TinyDataset : public data::Dataset {
 public:
  std::string name() const override { return "tiny"; }
  int64_t size() const override { return 64; }
  data::ImageShape image_shape() const override { return {3, 8, 8}; }
  const std::vector<std::string>& class_names() const override { return names_; }
  void read(int64_t index, std::span<uint8_t> pixels) const override {
    Rng rng = Rng(7, "tiny").fork(static_cast<uint64_t>(index));
    for (size_t i = 0; i < pixels.size(); ++i) {
      const bool strong = static_cast<int64_t>(i / 64) == label(index);
      pixels[i] = static_cast<uint8_t>(rng.below(128) + (strong ? 100 : 0));
    }
  }
  int64_t label(int64_t index) const override { return index % 3; }
  std::vector<float> mean() const override { return {0.4F, 0.4F, 0.4F}; }
  std::vector<float> stddev() const override { return {0.2F, 0.2F, 0.2F}; }

 private:
  std::vector<std::string> names_ = {"red", "green", "blue"};
};

/// Four batches of 16 an epoch.
inline std::unique_ptr<data::Loader> tiny_loader() {
  return std::make_unique<data::Loader>(
      std::make_shared<TinyDataset>(),
      data::LoaderOptions{.batch_size = 16, .shuffle = true, .seed = 1, .workers = 0});
}

/// Fills every parameter of rank >= 2 with normal numbers.
inline void randomize(nn::Module& model, uint64_t seed) {
  Rng rng(seed, "test weights");
  for (const nn::NamedParameter& one : model.named_parameters()) {
    if (one.parameter->shape().rank() < 2) continue;
    fill_normal_(one.parameter->value.value(), rng, 0.0, 0.2);
  }
}

/// conv 3>8, batch norm, conv 8>16, batch norm, linear 1024>3. Weights: 0, 3, 7.
inline std::unique_ptr<nn::Sequential> tiny_conv_net(uint64_t seed = 3) {
  auto net = std::make_unique<nn::Sequential>();
  const auto conv = [](int64_t in, int64_t out) {
    return nn::Conv2d(
        {.in_channels = in, .out_channels = out, .kernel = 3, .padding = 1, .bias = false});
  };
  net->add(conv(3, 8));
  net->add(nn::BatchNorm2d({.channels = 8}));
  net->add(nn::ReLU());
  net->add(conv(8, 16));
  net->add(nn::BatchNorm2d({.channels = 16}));
  net->add(nn::ReLU());
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 16 * 64, .out = 3}));
  randomize(*net, seed);
  return net;
}

/// conv 3>8, batch norm, three residual blocks (conv, batch norm, ReLU, conv, batch norm) named 3,
/// 4 and 5, mean over the plane, linear 8>3.
inline std::unique_ptr<nn::Sequential> tiny_residual_net(uint64_t seed = 3) {
  const auto conv = [](int64_t in, int64_t out) {
    return nn::Conv2d(
        {.in_channels = in, .out_channels = out, .kernel = 3, .padding = 1, .bias = false});
  };
  auto net = std::make_unique<nn::Sequential>();
  net->add(conv(3, 8));
  net->add(nn::BatchNorm2d({.channels = 8}));
  net->add(nn::ReLU());
  for (int block = 0; block < 3; ++block) {
    auto main = std::make_shared<nn::Sequential>();
    main->add(conv(8, 8));
    main->add(nn::BatchNorm2d({.channels = 8}));
    main->add(nn::ReLU());
    main->add(conv(8, 8));
    main->add(nn::BatchNorm2d({.channels = 8}));
    net->add(nn::Residual({.main = main}));
  }
  net->add(nn::AdaptiveAvgPool2d(1));
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 8, .out = 3}));
  randomize(*net, seed);
  return net;
}

/// linear 192>24>12>3. Weights: 1, 3, 5.
inline std::unique_ptr<nn::Sequential> tiny_mlp(uint64_t seed = 3) {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 192, .out = 24}));
  net->add(nn::ReLU());
  net->add(nn::Linear({.in = 24, .out = 12}));
  net->add(nn::ReLU());
  net->add(nn::Linear({.in = 12, .out = 3}));
  randomize(*net, seed);
  return net;
}

/// A model of linear layers with the given weight matrices (each in the shape (rows, columns)).
inline std::unique_ptr<nn::Sequential> linear_chain(
    const std::vector<std::pair<Shape, std::vector<float>>>& weights) {
  auto net = std::make_unique<nn::Sequential>();
  for (const auto& [shape, values] : weights) {
    auto& layer = net->add(nn::Linear({.in = shape[1], .out = shape[0], .bias = false}));
    layer.weight.value.value().copy_(Tensor::from(shape, values));
  }
  return net;
}

/// The mask as numbers, ones when dense.
inline std::vector<int> mask_of(const nn::Parameter& parameter) {
  const Tensor mask =
      parameter.masked() ? parameter.mask() : Tensor::ones(parameter.shape(), DType::U8);
  return mask.to_vector<int>();
}

}  // namespace espalier::prune::testing
