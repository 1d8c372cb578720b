// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/depthwise.h>

#include <algorithm>
#include <array>

#include <espalier/core/kernels/conv2d/micro.h>
#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/parallel.h>

namespace espalier::detail {
namespace {

constexpr int64_t kTaps = 9;
// Floats of outputs that a task should have.
constexpr int64_t kTaskFloats = 1 << 15;
// Positions that are added in float32.
constexpr int64_t kPositionsPerSum = 1024;

/// A row of zeros in lanes.
Tensor zero_row(int64_t width) {
  return Tensor::zeros({width * kLanes});
}

/// Calls body(plane) for all planes of all blocks of a tensor in lanes.
template <class Body>
void for_depthwise_planes(const Tensor& a, Body body) {
  const int64_t planes = lane_blocks(a.size(0)) * a.size(1);
  const int64_t size = a.size(2) * a.size(3) * kLanes;
  parallel_for(planes, std::max<int64_t>(1, kTaskFloats / size), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) body(plane);
  });
}

}  // namespace

bool is_depthwise(const Conv2dShape& shape) {
  const Conv2dOptions& o = shape.options;
  return shape.c == o.groups && shape.k == o.groups && shape.r == 3 && shape.s == 3 &&
         (o.stride == Pair(1) || o.stride == Pair(2)) && o.padding == Pair(1) &&
         o.dilation == Pair(1);
}

void conv2d_forward_depthwise(const Conv2dShape& shape,
                              const Tensor& x,
                              const Tensor& weight,
                              const Tensor& bias,
                              Tensor& y) {
  const DepthwiseTasks tasks(shape, true);
  const int64_t all = lane_blocks(shape.n) * tasks.tasks();
  const float* from = x.data<float>();
  float* to = y.data<float>();
  parallel_for(all, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task / tasks.tasks();
      tasks.run(task % tasks.tasks(),
                {.x = from + block * shape.c * shape.h * shape.w * kLanes,
                 .weight = weight.data<float>(),
                 .bias = bias.defined() ? bias.data<float>() : nullptr,
                 .y = to + block * shape.k * shape.p * shape.q * kLanes});
    }
  });
  if (bias.defined()) zero_padding_lanes(y);
}

void conv2d_backward_data_depthwise(const Conv2dShape& shape,
                                    const Tensor& dy,
                                    const Tensor& weight,
                                    Tensor& dx) {
  const DepthwiseKernels kernels = depthwise_kernels();
  const Tensor zeros = zero_row(shape.q);
  const float* gradient = dy.data<float>();
  const float* weights = weight.data<float>();
  float* out = dx.data<float>();
  for_depthwise_planes(dx, [&](int64_t plane) {
    const float* from = gradient + plane * shape.p * shape.q * kLanes;
    float* to = out + plane * shape.h * shape.w * kLanes;
    const float* w = weights + plane % shape.c * kTaps;
    if (shape.options.stride == Pair(2)) {
      return kernels.lanes_data(
          {from, shape.p, shape.q, w, to, shape.h, shape.w, zeros.data<float>()});
    }
    std::array<float, kTaps> reversed;
    std::reverse_copy(w, w + kTaps, reversed.begin());
    kernels.lanes({.x = from,
                   .h = shape.p,
                   .w = shape.q,
                   .weight = reversed.data(),
                   .y = to,
                   .p = shape.h,
                   .q = shape.w,
                   .stride = 1});
  });
}

void conv2d_backward_weight_depthwise(const Conv2dShape& shape,
                                      const Tensor& x,
                                      const Tensor& dy,
                                      Tensor& dweight) {
  const DepthwiseKernels kernels = depthwise_kernels();
  const LaneSumFn lane_sum = conv_micro_kernels().lane_sum;
  const Tensor zeros = zero_row(shape.w);
  const float* input = x.data<float>();
  const float* gradient = dy.data<float>();
  float* dw = dweight.data<float>();
  const int64_t blocks = lane_blocks(shape.n);
  const int64_t strip = ceil_div(kPositionsPerSum, shape.q);
  // A thread owns channels and meets the samples in order.
  parallel_for(shape.c, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      alignas(64) float sums[kTaps * kLanes] = {};
      double totals[kTaps] = {};
      int64_t positions = 0;
      for (int64_t block = 0; block < blocks; ++block) {
        const int64_t plane = block * shape.c + c;
        for (int64_t row = 0; row < shape.p; row += strip) {
          const int64_t last = std::min(shape.p, row + strip);
          kernels.lanes_weight({.x = input + plane * shape.h * shape.w * kLanes,
                                .h = shape.h,
                                .w = shape.w,
                                .dy = gradient + plane * shape.p * shape.q * kLanes,
                                .q = shape.q,
                                .first = row,
                                .last = last,
                                .stride = shape.options.stride.h,
                                .zeros = zeros.data<float>(),
                                .sums = sums});
          positions += (last - row) * shape.q;
          const bool ends = block + 1 == blocks && last == shape.p;
          if (positions < kPositionsPerSum && !ends) continue;
          float lanes[kTaps];
          lane_sum(sums, kTaps, lanes);
          for (int64_t t = 0; t < kTaps; ++t) totals[t] += static_cast<double>(lanes[t]);
          std::fill(std::begin(sums), std::end(sums), 0.0f);
          positions = 0;
        }
      }
      for (int64_t t = 0; t < kTaps; ++t) dw[c * kTaps + t] = static_cast<float>(totals[t]);
    }
  });
}

DepthwiseTasks::DepthwiseTasks(const Conv2dShape& shape, bool lanes)
    : shape_(shape),
      position_(lanes ? kLanes : 1),
      channels_(std::clamp<int64_t>(kTaskFloats / (shape.p * shape.q * position_), 1, shape.c)),
      tasks_(ceil_div(shape.c, channels_)),
      zeros_(Tensor::zeros({lanes ? 2 * kPlanesSlack : shape.w + 2 * kPlanesSlack})),
      kernel_(lanes ? depthwise_kernels().lanes : depthwise_kernels().planes) {}

void DepthwiseTasks::run(int64_t task, const PlanesOperands& operands) const {
  const int64_t in = shape_.h * shape_.w * position_;
  const int64_t out = shape_.p * shape_.q * position_;
  const int64_t last = std::min(shape_.c, (task + 1) * channels_);
  for (int64_t c = task * channels_; c < last; ++c) {
    kernel_({.x = operands.x + c * in,
             .h = shape_.h,
             .w = shape_.w,
             .weight = operands.weight + c * kTaps,
             .start = operands.bias == nullptr ? 0.0f : operands.bias[c],
             .y = operands.y + c * out,
             .p = shape_.p,
             .q = shape_.q,
             .stride = shape_.options.stride.h,
             .zeros = zeros_.data<float>() + kPlanesSlack,
             .factor = operands.factor == nullptr ? 1.0f : operands.factor[c],
             .residual = operands.residual == nullptr ? nullptr : operands.residual + c * out,
             .limits = operands.limits});
  }
}

}  // namespace espalier::detail
