// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/allocation_log.h>
#include <espalier/core/kernels/conv2d/conv2d.h>

#include <atomic>

#include <espalier/core/kernels/batch_norm.h>
#include <espalier/core/kernels/conv2d/columns.h>
#include <espalier/core/kernels/conv2d/depthwise.h>
#include <espalier/core/kernels/conv2d/lanes.h>
#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/kernels/conv2d/winograd.h>
#include <espalier/core/mac_counter.h>

namespace espalier {
namespace {

// Below this many multiply-accumulates a plain tensor is not worth two layout conversions.
constexpr int64_t kWorthConverting = 1 << 16;

// With fewer channels the transforms cost more than the products saved (Zen 4, batch 128: on 16
// channels of 32x32 F(4x4, 3x3) gains 1.9 forward and 1.35 backward; F(2x2, 3x3) gains 1.1 and 1.3,
// and loses 0.9 in the gradient of the weight).
constexpr int64_t kWinogradChannels = 16;
constexpr int64_t kSmallTileWeightChannels = 32;
// F(4x4, 3x3) pays where its products are at most this part of those of F(2x2, 3x3): not for planes
// of two positions, nor where edges cut most tiles.
constexpr double kLargeTileGain = 0.75;

bool fills_large_tiles(const Conv2dShape& shape, Conv2dPass pass) {
  const bool data = pass == Conv2dPass::BackwardData;
  const int64_t h = data ? shape.h : shape.p;
  const int64_t w = data ? shape.w : shape.q;
  const auto products = [&](detail::WinogradTile tile) {
    return static_cast<double>(detail::ceil_div(h, tile.size) * detail::ceil_div(w, tile.size) *
                               tile.points());
  };
  return products({4}) <= kLargeTileGain * products({2});
}

std::atomic<Conv2dAlgorithm> algorithm_in_use = Conv2dAlgorithm::Auto;

bool has_fast_path(const Conv2dShape& shape, const Tensor& activations) {
  return activations.dtype() == DType::F32 && shape.n > 0 &&
         (activations.layout() == Layout::Nchw16n || shape.macs() >= kWorthConverting);
}

bool reads_maps(const Conv2dShape& shape, const Tensor& activations) {
  return has_fast_path(shape, activations) && !detail::is_depthwise(shape);
}

bool runs_in_columns(const Conv2dShape& shape, const Tensor& activations) {
  return activations.dtype() == DType::F64 && shape.n > 0 && shape.macs() >= kWorthConverting;
}

Tensor plain(const Tensor& a) {
  return a.defined() ? a.to(Layout::Nchw).contiguous() : a;
}

/// Calls compute(result) for a plain contiguous result, which is copied to `out` when that is not.
template <class F>
void in_plain(Tensor& out, F compute) {
  if (out.layout() == Layout::Nchw && out.is_contiguous()) return compute(out);
  Tensor result = Tensor::empty(out.shape(), out.dtype());
  compute(result);
  out.copy_(result);
}

/// Calls compute(result) for an `Nchw16n` result, which is copied to `out` when that is plain.
template <class F>
void in_lanes(Tensor& out, F compute) {
  if (out.layout() == Layout::Nchw16n) return compute(out);
  Tensor lanes = Tensor::empty(out.shape(), out.dtype(), Layout::Nchw16n);
  compute(lanes);
  out.copy_(lanes);
}

int64_t output_size(int64_t in, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  const int64_t span = in + 2 * padding - dilation * (kernel - 1) - 1;
  return span < 0 ? 0 : span / stride + 1;
}

void check_operand(const Tensor& a,
                   const Shape& expected,
                   std::string_view op,
                   std::string_view what) {
  ESPALIER_CHECK(a.shape() == expected,
                 ShapeError,
                 op,
                 ": expects ",
                 what,
                 " ",
                 expected,
                 ", got ",
                 a.shape());
}

}  // namespace

void set_conv2d_algorithm(Conv2dAlgorithm algorithm) {
  algorithm_in_use = algorithm;
}

Conv2dAlgorithm conv2d_algorithm() {
  return algorithm_in_use;
}

int winograd_tile(const Conv2dShape& shape, Conv2dPass pass) {
  const Conv2dAlgorithm algorithm = algorithm_in_use;
  if (algorithm == Conv2dAlgorithm::Direct || !detail::winograd_fits(shape)) return 0;
  if (algorithm == Conv2dAlgorithm::Winograd2) return 2;
  if (algorithm == Conv2dAlgorithm::Winograd4) return 4;
  const int64_t channels = std::min(shape.c, shape.k);
  if (channels < kWinogradChannels || std::min(shape.p, shape.q) < 2) return 0;
  if (fills_large_tiles(shape, pass)) return 4;
  return pass == Conv2dPass::BackwardWeight && channels < kSmallTileWeightChannels ? 0 : 2;
}

Conv2dShape conv2d_shape(const Shape& input,
                         const Shape& weight,
                         const Conv2dOptions& options,
                         std::string_view op) {
  ESPALIER_CHECK(input.rank() == 4 && weight.rank() == 4,
                 ShapeError,
                 op,
                 ": expects input (N,C,H,W) and weight (K,C/groups,R,S), got ",
                 input,
                 " and ",
                 weight);
  const auto& [stride, padding, dilation, groups] = options;
  ESPALIER_CHECK(groups >= 1 && stride.h >= 1 && stride.w >= 1 && dilation.h >= 1 &&
                     dilation.w >= 1 && padding.h >= 0 && padding.w >= 0,
                 ValueError,
                 op,
                 ": expects stride, dilation and groups >= 1 and padding >= 0");
  ESPALIER_CHECK(input[1] == weight[1] * groups && weight[0] % groups == 0,
                 ShapeError,
                 op,
                 ": input has ",
                 input[1],
                 " channels ",
                 input,
                 " but weight ",
                 weight,
                 " with ",
                 groups,
                 " groups expects ",
                 weight[1] * groups,
                 " (and out-channels that groups divide). Are the channels in dimension 1?");
  ESPALIER_CHECK(weight[2] >= 1 && weight[3] >= 1,
                 ShapeError,
                 op,
                 ": expects a kernel of at least 1x1, got weight ",
                 weight);
  const int64_t p = output_size(input[2], weight[2], stride.h, padding.h, dilation.h);
  const int64_t q = output_size(input[3], weight[3], stride.w, padding.w, dilation.w);
  ESPALIER_CHECK(p >= 1 && q >= 1,
                 ShapeError,
                 op,
                 ": the kernel of weight ",
                 weight,
                 " is larger than the padded input ",
                 input,
                 "; add padding or use a smaller kernel");
  return {input[0], input[1], input[2], input[3], weight[0], weight[2], weight[3], p, q, options};
}

void conv2d_forward(const Conv2dShape& shape,
                    const MappedTensor& input,
                    const Tensor& weight,
                    const Tensor& bias,
                    Tensor& y) {
  const Tensor& x = input.tensor;
  if (input.map != nullptr && !reads_maps(shape, x)) {
    return conv2d_forward(shape, through_map(input), weight, bias, y);
  }
  const WorkspaceScope scope;
  check_operand(x, {shape.n, shape.c, shape.h, shape.w}, "conv2d", "input");
  check_operand(y, {shape.n, shape.k, shape.p, shape.q}, "conv2d", "output");
  if (bias.defined()) check_operand(bias, {shape.k}, "conv2d", "bias");
  count_macs(shape.macs());
  if (runs_in_columns(shape, x)) {
    return in_plain(y, [&](Tensor& out) {
      detail::conv2d_forward_columns(shape, plain(x), plain(weight), plain(bias), out);
    });
  }
  if (!has_fast_path(shape, x)) return reference::conv2d_forward(shape, x, weight, bias, y);
  const Tensor plain_bias = bias.defined() ? bias.contiguous() : Tensor();
  in_lanes(y, [&](Tensor& out) {
    const Tensor own = x.to(Layout::Nchw16n);
    const MappedTensor lanes(own, input.map);
    if (detail::is_depthwise(shape)) {
      detail::conv2d_forward_depthwise(shape, own, weight.contiguous(), plain_bias, out);
    } else if (const int tile = winograd_tile(shape, Conv2dPass::Forward); tile != 0) {
      detail::conv2d_forward_winograd(shape, {tile}, lanes, weight.contiguous(), plain_bias, out);
    } else {
      detail::conv2d_forward_lanes(shape, lanes, weight.contiguous(), plain_bias, out);
    }
  });
}

void conv2d_backward_data(const Conv2dShape& shape,
                          const Tensor& dy,
                          const Tensor& weight,
                          Tensor& dx) {
  const WorkspaceScope scope;
  check_operand(dy, {shape.n, shape.k, shape.p, shape.q}, "conv2d_backward_data", "gradient");
  check_operand(dx, {shape.n, shape.c, shape.h, shape.w}, "conv2d_backward_data", "result");
  if (runs_in_columns(shape, dy)) {
    return in_plain(dx, [&](Tensor& out) {
      detail::conv2d_backward_data_columns(shape, plain(dy), plain(weight), out);
    });
  }
  if (!has_fast_path(shape, dy)) return reference::conv2d_backward_data(shape, dy, weight, dx);
  in_lanes(dx, [&](Tensor& out) {
    const Tensor lanes = dy.to(Layout::Nchw16n);
    if (detail::is_depthwise(shape)) {
      detail::conv2d_backward_data_depthwise(shape, lanes, weight.contiguous(), out);
    } else if (const int tile = winograd_tile(shape, Conv2dPass::BackwardData); tile != 0) {
      detail::conv2d_backward_data_winograd(shape, {tile}, lanes, weight.contiguous(), out);
    } else {
      detail::conv2d_backward_data_lanes(shape, lanes, weight.contiguous(), out);
    }
  });
}

void conv2d_backward_weight(const Conv2dShape& shape,
                            const MappedTensor& input,
                            const Tensor& dy,
                            Tensor& dweight) {
  const Tensor& x = input.tensor;
  if (input.map != nullptr && !reads_maps(shape, x)) {
    return conv2d_backward_weight(shape, through_map(input), dy, dweight);
  }
  const WorkspaceScope scope;
  check_operand(x, {shape.n, shape.c, shape.h, shape.w}, "conv2d_backward_weight", "input");
  check_operand(dy, {shape.n, shape.k, shape.p, shape.q}, "conv2d_backward_weight", "gradient");
  if (runs_in_columns(shape, x)) {
    return in_plain(dweight, [&](Tensor& out) {
      detail::conv2d_backward_weight_columns(shape, plain(x), plain(dy), out);
    });
  }
  if (!has_fast_path(shape, x)) {
    return reference::conv2d_backward_weight(shape, x, dy, dweight);
  }
  const Tensor own = x.to(Layout::Nchw16n);
  const MappedTensor x_lanes(own, input.map);
  const Tensor dy_lanes = dy.to(Layout::Nchw16n);
  if (detail::is_depthwise(shape)) {
    detail::conv2d_backward_weight_depthwise(shape, own, dy_lanes, dweight);
  } else if (const int tile = winograd_tile(shape, Conv2dPass::BackwardWeight); tile != 0) {
    detail::conv2d_backward_weight_winograd(shape, {tile}, x_lanes, dy_lanes, dweight);
  } else {
    detail::conv2d_backward_weight_lanes(shape, x_lanes, dy_lanes, dweight);
  }
}

}  // namespace espalier
