// SPDX-License-Identifier: Apache-2.0
// avg_pool2d: the mean of each window, padding counted as zeros.  Linear: the gradient spreads each
// mean evenly over its window, and the gradient of that is the mean again.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/autograd/ops/pool_check.h>

namespace espalier {
namespace {

Variable spread(const Variable& grad,
                const detail::Meta& input,
                const std::shared_ptr<const PoolWindows>& windows) {
  Tensor dx = Tensor::empty(input.shape, grad.dtype(), input.layout);
  mean_pool_backward(grad.value().to(input.layout).contiguous(), *windows, dx);
  return record("avg_pool2d_spread",
                std::move(dx),
                {grad},
                [windows, layout = grad.layout()](const BackwardContext& ctx) {
                  const Variable mean = detail::mean_over_windows("avg_pool2d", ctx.grad, windows);
                  return std::vector<Variable>{to_layout(mean, layout)};
                });
}

/// Windows of one element only move it.
std::vector<ElementSource> strided(const OpAttributes& attributes,
                                   const std::vector<Shape>& inputs,
                                   const Shape& output) {
  const Pair stride = attributes.pair("stride");
  return by_place(inputs[0], output, [&](std::vector<int64_t> place) {
    place[2] *= stride.h;
    place[3] *= stride.w;
    return place;
  });
}

}  // namespace

namespace detail {

Variable mean_over_windows(const char* op,
                           const Variable& x,
                           const std::shared_ptr<const PoolWindows>& windows) {
  Tensor y = Tensor::empty(pooled_shape(x.shape(), *windows), x.dtype(), x.layout());
  mean_pool_forward(x.value().contiguous(), *windows, y);
  return record(op, std::move(y), {x}, [windows, from = meta(x)](const BackwardContext& ctx) {
    return std::vector<Variable>{spread(ctx.grad, from, windows)};
  });
}

}  // namespace detail

Variable avg_pool2d(const Variable& x, const PoolOptions& options) {
  ESPALIER_CHECK(options.dilation == Pair(1),
                 ValueError,
                 "avg_pool2d: expects no dilation, got ",
                 options.dilation.h,
                 "x",
                 options.dilation.w,
                 "; a depthwise conv2d with equal weights has one");
  auto windows =
      std::make_shared<const PoolWindows>(detail::windows_of(x.shape(), options, "avg_pool2d"));
  detail::describe_op([&] { return detail::pool_attributes(options); });
  return detail::mean_over_windows("avg_pool2d", x, std::move(windows));
}

OpInfo avg_pool2d_op() {
  const auto pool = [](const PoolOptions& options) {
    return [options](const std::vector<Variable>& in) { return avg_pool2d(in[0], options); };
  };
  return {
      .name = "avg_pool2d",
      .rule = OpRule::Pool,
      .attributes = {"kernel", "stride", "padding", "dilation", "ceil_mode", "count_include_pad"},
      .movement = strided,
      .samples = {
          {"2x2", {sample_tensor({17, 2, 4, 4}, 1)}, pool({}), {0}},
          {"overlap and padding", {sample_tensor({2, 1, 5, 4}, 2)}, pool({3, 2, 1}), {0}},
          {"stride beyond the kernel", {sample_tensor({2, 2, 5, 5}, 3)}, pool({1, 2, 0}), {0}},
          {"rectangle",
           {sample_tensor({17, 1, 5, 6}, 6)},
           pool({.kernel = {3, 2}, .stride = {2, 3}, .padding = {1, 0}}),
           {0}},
          {"ceil mode",
           {sample_tensor({2, 1, 6, 5}, 7)},
           pool({.kernel = 3, .stride = 2, .padding = 1, .ceil_mode = true}),
           {0}},
          {"without padding in the mean",
           {sample_tensor({2, 1, 6, 5}, 8)},
           pool({.kernel = {3, 2},
                 .stride = 2,
                 .padding = 1,
                 .ceil_mode = true,
                 .count_include_pad = false}),
           {0}},
          {"rows and columns left over", {sample_tensor({1, 1, 5, 3}, 4)}, pool({2, 2, 0}), {0}},
          {"no samples", {sample_tensor({0, 2, 4, 4}, 5)}, pool({}), {0}}}};
}

}  // namespace espalier
