// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/linear/linear.h>

#include <algorithm>

#include <espalier/core/kernels/conv2d/micro.h>
#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/kernels/linear/check.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

using detail::ceil_div;
using detail::kTileChannels;
using detail::kTileColumns;

// Inputs whose vectors of a tile of sample blocks stay in L1: 16 KB.
constexpr int64_t kInputBlock = 64;
// Multiply-adds of a task, at least.
constexpr int64_t kTaskMacs = 1 << 18;

int64_t task_grain(int64_t macs_each) {
  return std::max<int64_t>(1, kTaskMacs / (macs_each + 1));
}

/// y[n,o] = sum_i at(o, i) x[n,i] (+ bias[o]) for all samples. Tiles are outputs x sample blocks.
template <class At>
void multiply(const Tensor& x, const float* bias, Tensor& y, At at) {
  const int64_t ins = x.size(1);
  const int64_t outs = y.size(1);
  const int64_t blocks = lane_blocks(x.size(0));
  const auto kernels = detail::conv_micro_kernels();
  const int64_t no_tap = 0;
  const int64_t k_blocks = ceil_div(outs, kTileChannels);
  const int64_t grain = task_grain(kTileChannels * ins * blocks * kLanes);
  parallel_for(k_blocks, grain, [&](int64_t begin, int64_t end) {
    Tensor packed = Tensor::empty({kTileChannels * ins});
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kTileChannels;
      const int64_t b = std::min<int64_t>(kTileChannels, outs - first);
      float* weights = packed.data<float>();
      for (int64_t i = 0; i < ins; ++i) {
        for (int64_t o = first; o < first + b; ++o) *weights++ = at(o, i);
      }
      float start[kTileChannels] = {};
      if (bias != nullptr) std::copy_n(bias + first, b, start);
      for (int64_t i = 0; i == 0 || i < ins; i += kInputBlock) {
        detail::TileJob job;
        job.x = x.data<float>() + i * kLanes;
        job.x_channel_stride = kLanes;
        job.x_step = ins * kLanes;
        job.tap_offsets = &no_tap;
        job.taps = 1;
        job.channels = std::min(kInputBlock, ins - i);
        job.weights = packed.data<float>() + i * b;
        job.weight_channel_stride = b;
        job.y = y.data<float>() + first * kLanes;
        job.y_channel_stride = kLanes;
        job.y_step = outs * kLanes;
        job.start = i == 0 ? start : nullptr;
        kernels.row(job, static_cast<int>(b), blocks);
      }
    }
  });
}

}  // namespace

void linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  detail::check_linear(x, weight, bias, y, Layout::Nchw16n, "linear_forward");
  count_macs(x.size(0) * weight.numel());
  if (x.dtype() != DType::F32) return reference::linear_forward(x, weight, bias, y);
  const Tensor w = weight.contiguous();
  const Tensor b = bias.defined() ? bias.contiguous() : Tensor();
  const int64_t ins = x.size(1);
  multiply(x,
           b.defined() ? b.data<float>() : nullptr,
           y,
           [p = w.data<float>(), ins](int64_t o, int64_t i) { return p[o * ins + i]; });
  if (b.defined()) zero_padding_lanes(y);
}

void linear_backward_data(const Tensor& dy, const Tensor& weight, Tensor& dx) {
  detail::check_linear(dx, weight, {}, dy, Layout::Nchw16n, "linear_backward_data");
  if (dy.dtype() != DType::F32) return reference::linear_backward_data(dy, weight, dx);
  const Tensor w = weight.contiguous();
  const int64_t ins = dx.size(1);
  multiply(
      dy, nullptr, dx, [p = w.data<float>(), ins](int64_t i, int64_t o) { return p[o * ins + i]; });
}

void linear_backward_weight(const Tensor& x, const Tensor& dy, Tensor& dweight) {
  detail::check_linear(x, dweight, {}, dy, Layout::Nchw16n, "linear_backward_weight");
  if (x.dtype() != DType::F32) return reference::linear_backward_weight(x, dy, dweight);
  const int64_t ins = x.size(1);
  const int64_t outs = dy.size(1);
  const int64_t blocks = lane_blocks(x.size(0));
  const auto kernels = detail::conv_micro_kernels();
  const int64_t k_blocks = ceil_div(outs, kTileChannels);
  float* dw = dweight.data<float>();
  parallel_for(
      k_blocks, task_grain(kTileChannels * ins * blocks * kLanes), [&](int64_t begin, int64_t end) {
        constexpr int kTileSums = kTileChannels * kTileColumns;
        alignas(64) float sums[kTileSums * kLanes];
        float totals[kTileSums];
        for (int64_t block = begin; block < end; ++block) {
          const int64_t first = block * kTileChannels;
          const int b = static_cast<int>(std::min<int64_t>(kTileChannels, outs - first));
          for (int64_t i = 0; i < ins; i += kTileColumns) {
            const int columns = static_cast<int>(std::min<int64_t>(kTileColumns, ins - i));
            int64_t offsets[kTileColumns];
            for (int t = 0; t < columns; ++t) offsets[t] = (i + t) * kLanes;
            detail::ColumnJob job;
            job.dy = dy.data<float>() + first * kLanes;
            job.dy_channel_stride = kLanes;
            job.dy_row_stride = 0;
            job.dy_image_stride = outs * kLanes;
            job.x = x.data<float>();
            job.column_offsets = offsets;
            job.x_row_stride = 0;
            job.x_image_stride = ins * kLanes;
            job.x_step = 0;
            job.images = blocks;
            job.rows = 1;
            job.positions = 1;
            job.sums = sums;
            kernels.column(job, b, columns);
            kernels.lane_sum(sums, b * columns, totals);
            for (int k = 0; k < b; ++k) {
              std::copy_n(totals + k * columns, columns, dw + (first + k) * ins + i);
            }
          }
        }
      });
}

}  // namespace espalier
