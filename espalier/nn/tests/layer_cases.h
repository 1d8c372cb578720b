// SPDX-License-Identifier: Apache-2.0
/// The list of layers that layers_test.cpp and module_gradients_test.cpp run over.
#pragma once

#include "support.h"

namespace espalier::nn {

/// A layer, and the shape of what it takes.
struct LayerCase {
  std::string name;
  Shape sample;  // without the batch
  std::function<std::unique_ptr<Module>()> make;
};

template <class M, class... Args>
std::function<std::unique_ptr<Module>()> maker(Args... args) {
  return [args...]() -> std::unique_ptr<Module> { return std::make_unique<M>(args...); };
}

inline std::unique_ptr<Module> make_residual() {
  return std::make_unique<Residual>(Residual::Parts{
      .main = std::make_shared<Conv2d>(
          Conv2d::Options{.in_channels = 3, .out_channels = 4, .stride = 2, .padding = 1}),
      .shortcut = std::make_shared<Conv2d>(
          Conv2d::Options{.in_channels = 3, .out_channels = 4, .kernel = 1, .stride = 2})});
}

inline std::unique_ptr<Module> make_masked_conv() {
  auto conv =
      std::make_unique<Conv2d>(Conv2d::Options{.in_channels = 3, .out_channels = 4, .padding = 1});
  conv->weight.set_mask(two_thirds_mask({4, 3, 3, 3}));
  return conv;
}

inline std::unique_ptr<Module> make_masked_conv1d() {
  auto conv =
      std::make_unique<Conv1d>(Conv1d::Options{.in_channels = 3, .out_channels = 4, .padding = 1});
  conv->weight.set_mask(two_thirds_mask({4, 3, 3}));
  return conv;
}

inline std::unique_ptr<Module> make_masked_transpose() {
  auto conv = std::make_unique<ConvTranspose2d>(
      ConvTranspose2d::Options{.in_channels = 3, .out_channels = 4, .stride = 2, .padding = 1});
  conv->weight.set_mask(two_thirds_mask({3, 4, 3, 3}));
  return conv;
}

inline std::unique_ptr<Module> make_masked_linear() {
  auto linear = std::make_unique<Linear>(Linear::Options{.in = 7, .out = 5});
  linear->weight.set_mask(two_thirds_mask({5, 7}));
  return linear;
}

/// All layers.
inline std::vector<LayerCase> layer_cases() {
  const Shape image{3, 7, 5};
  return {
      {"Conv", image, maker<Conv2d>(Conv2d::Options{.in_channels = 3, .out_channels = 4})},
      {"ConvStrided",
       image,
       maker<Conv2d>(Conv2d::Options{.in_channels = 3,
                                     .out_channels = 5,
                                     .kernel = {3, 2},
                                     .stride = {2, 1},
                                     .padding = 1,
                                     .bias = false})},
      {"ConvDepthwise",
       image,
       maker<Conv2d>(
           Conv2d::Options{.in_channels = 3, .out_channels = 3, .padding = 1, .groups = 3})},
      {"ConvMasked", image, make_masked_conv},
      {"ConvOfSequences",
       {3, 7},
       maker<Conv1d>(Conv1d::Options{
           .in_channels = 3, .out_channels = 4, .kernel = 2, .stride = 2, .dilation = 2})},
      {"ConvOfSequencesDepthwise",
       {3, 7},
       maker<Conv1d>(Conv1d::Options{
           .in_channels = 3, .out_channels = 3, .padding = 1, .groups = 3, .bias = false})},
      {"ConvOfSequencesMasked", {3, 7}, make_masked_conv1d},
      {"ConvTransposed",
       image,
       maker<ConvTranspose2d>(ConvTranspose2d::Options{.in_channels = 3,
                                                       .out_channels = 4,
                                                       .kernel = {3, 2},
                                                       .stride = 2,
                                                       .padding = {1, 0},
                                                       .output_padding = {1, 0}})},
      {"ConvTransposedDepthwise",
       image,
       maker<ConvTranspose2d>(ConvTranspose2d::Options{
           .in_channels = 3, .out_channels = 3, .dilation = 2, .groups = 3, .bias = false})},
      {"ConvTransposedMasked", image, make_masked_transpose},
      {"BatchNorm", image, maker<BatchNorm2d>(BatchNorm::Options{.channels = 3})},
      {"BatchNormRelu", image, maker<BatchNorm2d>(BatchNorm::Options{.channels = 3, .relu = true})},
      {"BatchNormNotAffine",
       image,
       maker<BatchNorm2d>(BatchNorm::Options{.channels = 3, .relu = true, .affine = false})},
      {"BatchNormOfVectors", {7}, maker<BatchNorm1d>(BatchNorm::Options{.channels = 7})},
      {"Linear", {7}, maker<Linear>(Linear::Options{.in = 7, .out = 5})},
      {"LinearMasked", {7}, make_masked_linear},
      {"LayerNorm", {7}, maker<LayerNorm>(LayerNorm::Options{.shape = {7}})},
      {"GroupNorm", {4, 3, 2}, maker<GroupNorm>(GroupNorm::Options{.groups = 2, .channels = 4})},
      {"LayerNormNotAffine",
       {7},
       maker<LayerNorm>(LayerNorm::Options{.shape = {7}, .affine = false})},
      {"GroupNormNotAffine",
       {4, 3, 2},
       maker<GroupNorm>(GroupNorm::Options{.groups = 2, .channels = 4, .affine = false})},
      {"Relu", image, maker<ReLU>()},
      {"Gelu", image, maker<GELU>()},
      {"GeluTanh", image, maker<GELU>(GELU::Options{.tanh = true})},
      {"Sigmoid", image, maker<Sigmoid>()},
      {"Tanh", image, maker<Tanh>()},
      {"Silu", image, maker<SiLU>()},
      {"Softplus", image, maker<Softplus>()},
      {"LeakyRelu", image, maker<LeakyReLU>(0.1)},
      {"MaxPool", image, maker<MaxPool2d>(PoolOptions{.kernel = 2})},
      {"MaxPoolOverlapping",
       image,
       maker<MaxPool2d>(PoolOptions{.kernel = 3, .stride = 2, .padding = 1})},
      {"MaxPoolRectangle",
       image,
       maker<MaxPool2d>(
           PoolOptions{.kernel = {2, 3}, .stride = {2, 1}, .dilation = {2, 1}, .ceil_mode = true})},
      {"AveragePoolRectangle",
       image,
       maker<AvgPool2d>(PoolOptions{.kernel = {3, 2},
                                    .stride = 2,
                                    .padding = 1,
                                    .ceil_mode = true,
                                    .count_include_pad = false})},
      {"AveragePool", image, maker<AvgPool2d>(PoolOptions{.kernel = 2})},
      {"AdaptivePool", image, maker<AdaptiveAvgPool2d>(1, 1)},
      {"AdaptivePoolOdd", image, maker<AdaptiveAvgPool2d>(2, 3)},
      {"Flatten", image, maker<Flatten>()},
      {"Identity", image, maker<Identity>()},
      {"Dropout", image, maker<Dropout>(0.4)},
      {"Residual", image, make_residual},
      {"Attention",
       {5, 6},
       maker<MultiheadAttention>(MultiheadAttention::Options{.dim = 6, .heads = 2})},
      {"Lstm", {4, 3}, maker<Lstm>(Lstm::Options{.in = 3, .hidden = 5, .layers = 2})},
      {"Gru", {4, 3}, maker<Gru>(Gru::Options{.in = 3, .hidden = 5, .layers = 2})},
  };
}

}  // namespace espalier::nn
