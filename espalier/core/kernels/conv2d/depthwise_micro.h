// SPDX-License-Identifier: Apache-2.0
/// Innermost loops of the depthwise 3x3 convolution, padding 1, stride 1 or 2: one plane of one
/// channel at a time, its nine weights in registers. Compiled for every SIMD target. Not a public
/// interface.
#pragma once

#include <espalier/core/kernels/conv2d/planes_micro.h>

namespace espalier::detail {

/// y[i,j] = limited(residual + factor * (start + sum over r, s of weight[3r+s] * x[i*stride+r-1,
/// j*stride+s-1])). A position is one float (planes) or a vector of 16 (lanes).
struct DepthwiseJob {
  const float* x;
  int64_t h, w;
  const float* weight;  ///< of 9
  float start = 0.0f;
  float* y;
  int64_t p, q;
  int64_t stride;
  /// In planes: a row of x that holds 0, with kPlanesSlack readable floats around it.
  const float* zeros = nullptr;
  float factor = 1.0f;
  const float* residual = nullptr;  ///< null: none. Lies as y does
  PlanesLimits limits = {};
};

/// dx[i,j] = sum over r, s of weight[3r+s] * dy[(i+1-r)/2, (j+1-s)/2] where both divide, in lanes:
/// the gradient of stride 2. (That of stride 1 is a DepthwiseJob with the weights in reverse.)
struct DepthwiseDataJob {
  const float* dy;
  int64_t p, q;
  const float* weight;  ///< of 9
  float* dx;
  int64_t h, w;
  const float* zeros;  ///< a row of dy that holds 0
};

/// sums[3r+s] += sum over i in [first, last), j of dy[i,j] * x[i*stride+r-1, j*stride+s-1], for
/// each of 16 lanes by itself.
struct DepthwiseWeightJob {
  const float* x;
  int64_t h, w;
  const float* dy;
  int64_t q;
  int64_t first, last;
  int64_t stride;
  const float* zeros;  ///< a row of x that holds 0
  float* sums;         ///< nine vectors of 16
};

/// The kernels of the SIMD target in use.
struct DepthwiseKernels {
  void (*lanes)(const DepthwiseJob& job);
  void (*lanes_data)(const DepthwiseDataJob& job);
  void (*lanes_weight)(const DepthwiseWeightJob& job);
  /// kPlanesSlack floats before and behind x are read, and mean nothing.
  void (*planes)(const DepthwiseJob& job);
};
DepthwiseKernels depthwise_kernels();

}  // namespace espalier::detail
