// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/conv2d.h>

#include <espalier/core/mac_counter.h>
#include <espalier/sparse/kernels/block_backward.h>
#include <espalier/sparse/kernels/block_stream.h>
#include <espalier/sparse/kernels/prepared_forward.h>

namespace espalier::sparse {
namespace {

using espalier::detail::backward_data_taps;
using espalier::detail::BackwardDataTaps;
using espalier::detail::forward_taps;
using espalier::detail::TapConvolution;

}  // namespace

namespace detail {

std::string missing_conv2d(const Conv2dShape& shape, DType dtype, Layout layout) {
  if (dtype != DType::F32) return cat("sparse kernels are for float32, not ", name(dtype));
  if (layout != Layout::Nchw16n) return "sparse kernels are for layout Nchw16n";
  if (shape.options.groups != 1) return "sparse kernels are for one group";
  if (shape.options.stride != Pair(1) && shape.options.stride != Pair(2)) {
    return "sparse kernels are for strides 1 and 2";
  }
  if (shape.n == 0) return "the batch is empty";
  return {};
}

void check_conv2d(const Conv2dShape& shape,
                  const Tensor& activations,
                  const Support& support,
                  std::string_view op) {
  const std::string missing = missing_conv2d(shape, activations.dtype(), activations.layout());
  ESPALIER_CHECK(missing.empty(), ValueError, op, ": ", missing);
  const Shape expected = {shape.k, shape.c, shape.r, shape.s};
  const bool linear = shape.r * shape.s == 1 && support.shape() == Shape{shape.k, shape.c};
  ESPALIER_CHECK(linear || support.shape() == expected,
                 ShapeError,
                 op,
                 ": expects a support ",
                 expected,
                 ", got ",
                 support.shape());
}

}  // namespace detail

void conv2d_forward(const Conv2dShape& shape,
                    const Tensor& x,
                    const Tensor& weight,
                    const Support& support,
                    const Tensor& bias,
                    Tensor& y) {
  detail::check_conv2d(shape, x, support, "conv2d");
  count_macs(shape.n * shape.p * shape.q * support.nnz());
  const Tensor b = bias.defined() ? bias.contiguous() : Tensor();
  const float* start = b.defined() ? b.data<float>() : nullptr;
  const TapConvolution conv = forward_taps(shape);
  const auto forward = detail::prepare_forward(conv, lane_blocks(shape.n), support, weight);
  forward->run({x.data<float>(), start, y.data<float>()});
  if (b.defined()) zero_padding_lanes(y);
}

void conv2d_backward_data(const Conv2dShape& shape,
                          const Tensor& dy,
                          const Tensor& weight,
                          const Support& support,
                          Tensor& dx) {
  detail::check_conv2d(shape, dy, support, "conv2d_backward_data");
  if (detail::runs_in_blocks(support)) {
    return detail::backward_in_blocks(
        shape, {}, dy, weight, support, &dx, Result::Replaces, nullptr);
  }
  const BackwardDataTaps taps = backward_data_taps(shape);
  if (!taps.all_reached) dx.fill_(0.0);
  const Tensor w = detail::values_of(weight, support);
  for (const TapConvolution& conv : taps.classes) {
    const auto transposed = detail::prepare_forward(conv, lane_blocks(shape.n), support, w, true);
    transposed->run({dy.data<float>(), nullptr, dx.data<float>()});
  }
}

}  // namespace espalier::sparse
