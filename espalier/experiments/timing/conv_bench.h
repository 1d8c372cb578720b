// SPDX-License-Identifier: Apache-2.0
/// One 3x3 convolution (stride 1, padding 1, as many channels in as out) to be timed, dense and
/// with a random mask of some density.
#pragma once

#include <string>
#include <vector>

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/experiments/timing/rounds.h>
#include <espalier/sparse/support.h>

namespace espalier::experiments::timing {

/// What is computed. Backward is both gradients.
enum class ConvDirection : uint8_t { Forward, BackwardData, BackwardWeights, Backward };
/// `forward`, `backward_data`, `backward_weights`, `backward`.
std::string name(ConvDirection direction);

/// Channels and side of the square plane of a layer.
struct ConvLayer {
  int64_t channels;
  int64_t plane;
};
/// The layers of VGG and ResNets on CIFAR: 16x32^2, 32x16^2, 64x8^2, 64x32^2, 128x16^2, 256x8^2,
/// 512x4^2.
const std::vector<ConvLayer>& cifar_layers();

/// Operands of one convolution in `Nchw16n`.
class ConvBench {
 public:
  ConvBench(const ConvLayer& layer, int64_t batch);

  /// Multiply-adds of a dense pass in one direction, padding included (two directions: twice).
  double macs(ConvDirection direction) const;
  /// By the algorithm in use (see core's `set_conv2d_algorithm`).
  Side dense(ConvDirection direction);
  /// A random mask of `removed` of the weights in units of `pattern` (`unstructured`, `4x1`, `2:4`,
  /// ..). Throws ValueError for a pattern without that sparsity.
  std::shared_ptr<const sparse::Support> random_support(double removed,
                                                        const std::string& pattern) const;
  /// Forward or Backward (fused) with the weights of a pattern. Throws ValueError for others.
  Side sparse(ConvDirection direction, std::shared_ptr<const sparse::Support> support);

 private:
  Conv2dShape shape_;
  Tensor x_, w_, dy_, y_, dx_, dw_;
};

}  // namespace espalier::experiments::timing
