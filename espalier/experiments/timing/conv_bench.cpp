// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/timing/conv_bench.h>

#include <espalier/core/random.h>
#include <espalier/experiments/timing/step_bench.h>
#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/sparse/forms/conv2d.h>

namespace espalier::experiments::timing {
namespace {

Tensor random_plain(const Shape& shape, uint64_t seed) {
  Tensor plain = Tensor::empty(shape);
  Rng rng(seed, "bench");
  fill_uniform_(plain, rng, 0.0, 1.0);
  return plain;
}

}  // namespace

std::string name(ConvDirection direction) {
  switch (direction) {
    case ConvDirection::Forward:
      return "forward";
    case ConvDirection::BackwardData:
      return "backward_data";
    case ConvDirection::BackwardWeights:
      return "backward_weights";
    default:
      return "backward";
  }
}

const std::vector<ConvLayer>& cifar_layers() {
  static const std::vector<ConvLayer> layers = {
      {16, 32}, {32, 16}, {64, 8}, {64, 32}, {128, 16}, {256, 8}, {512, 4}};
  return layers;
}

ConvBench::ConvBench(const ConvLayer& layer, int64_t batch) {
  const Shape x = {batch, layer.channels, layer.plane, layer.plane};
  shape_ = conv2d_shape(x, {layer.channels, layer.channels, 3, 3}, {.padding = 1}, "bench");
  x_ = random_plain(x, 1).to(Layout::Nchw16n);
  w_ = random_plain({layer.channels, layer.channels, 3, 3}, 2);
  dy_ = random_plain(x, 3).to(Layout::Nchw16n);
  y_ = Tensor::empty_like(x_);
  dx_ = Tensor::empty_like(x_);
  dw_ = Tensor::empty_like(w_);
}

double ConvBench::macs(ConvDirection direction) const {
  return (direction == ConvDirection::Backward ? 2.0 : 1.0) * static_cast<double>(shape_.macs());
}

Side ConvBench::dense(ConvDirection direction) {
  switch (direction) {
    case ConvDirection::Forward:
      return timed([this] { conv2d_forward(shape_, x_, w_, {}, y_); });
    case ConvDirection::BackwardData:
      return timed([this] { conv2d_backward_data(shape_, dy_, w_, dx_); });
    case ConvDirection::BackwardWeights:
      return timed([this] { conv2d_backward_weight(shape_, x_, dy_, dw_); });
    default:
      return timed([this] {
        conv2d_backward_data(shape_, dy_, w_, dx_);
        conv2d_backward_weight(shape_, x_, dy_, dw_);
      });
  }
}

std::shared_ptr<const sparse::Support> ConvBench::random_support(double removed,
                                                                 const std::string& pattern) const {
  auto layers = std::make_unique<nn::Sequential>();
  layers->add("conv",
              nn::Conv2d({.in_channels = shape_.c, .out_channels = shape_.k, .bias = false}));
  Network network;
  network.options.image = {shape_.c, shape_.h, shape_.w};
  network.module = std::move(layers);
  mask_randomly(network, {.sparsity = removed, .pattern = pattern, .seed = 4});
  return network.module->parameter("conv.weight").support;
}

Side ConvBench::sparse(ConvDirection direction, std::shared_ptr<const sparse::Support> support) {
  if (direction == ConvDirection::Forward) {
    return timed([this, support] { sparse::conv2d_forward(shape_, x_, w_, *support, {}, y_); });
  }
  ESPALIER_CHECK(direction == ConvDirection::Backward,
                 ValueError,
                 "bench: expects direction forward or backward, got ",
                 name(direction));
  return timed([this, support, dw = Tensor::empty({support->nnz()})]() mutable {
    sparse::conv2d_backward(shape_, x_, dy_, w_, *support, dx_, dw);
  });
}

}  // namespace espalier::experiments::timing
