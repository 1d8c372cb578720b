// SPDX-License-Identifier: Apache-2.0
// max_pool2d: the largest value of each window.  The gradient goes to the position that won, the
// first among equals; with the winners fixed, gradient and its own gradient are linear: scatter and
// select.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/autograd/ops/pool_check.h>
#include <espalier/autograd/pending.h>

namespace espalier {
namespace {

/// Who won: positions (int32, output's shape) and the windows that they came from.
struct Winners {
  Tensor index;
  std::shared_ptr<const PoolWindows> windows;
};

Variable scatter(const Variable& grad, const Winners& winners, const detail::Meta& input);

Variable select(const Variable& x, const Winners& winners) {
  const Tensor& index = winners.index;
  Tensor y = Tensor::empty(index.shape(), x.dtype(), index.layout());
  max_pool_select(x.value().to(index.layout()).contiguous(), index, y);
  return record("max_pool2d_select",
                std::move(y),
                {x},
                [winners, from = detail::meta(x)](const BackwardContext& ctx) {
                  return std::vector<Variable>{scatter(ctx.grad, winners, from)};
                });
}

Variable scatter(const Variable& grad, const Winners& winners, const detail::Meta& input) {
  const Layout layout = winners.index.layout();
  Tensor dx = Tensor::empty(input.shape, grad.dtype(), layout);
  max_pool_scatter(grad.value().to(layout).contiguous(), winners.index, *winners.windows, dx);
  const Variable result =
      record("max_pool2d_scatter",
             std::move(dx),
             {grad},
             [winners, layout = grad.layout()](const BackwardContext& ctx) {
               return std::vector<Variable>{to_layout(select(ctx.grad, winners), layout)};
             });
  return to_layout(result, input.layout);
}

}  // namespace

Variable max_pool2d(const Variable& x, const PoolOptions& options) {
  const auto windows =
      std::make_shared<const PoolWindows>(detail::windows_of(x.shape(), options, "max_pool2d"));
  const Shape shape = detail::pooled_shape(x.shape(), *windows);
  Tensor y = Tensor::empty(shape, x.dtype(), x.layout());
  Tensor index = Tensor::empty(shape, DType::I32, x.layout());
  const MappedTensor from = mapped(x);
  max_pool_forward({from.tensor.contiguous(), from.map}, *windows, y, index);
  detail::describe_op([&] { return detail::pool_attributes(options); });
  return record(
      "max_pool2d",
      std::move(y),
      {x},
      [winners = Winners{index, windows}, from = detail::meta(x)](const BackwardContext& ctx) {
        return std::vector<Variable>{scatter(ctx.grad, winners, from)};
      });
}

OpInfo max_pool2d_op() {
  const auto pool = [](const PoolOptions& options) {
    return [options](const std::vector<Variable>& in) { return max_pool2d(in[0], options); };
  };
  return {
      .name = "max_pool2d",
      .rule = OpRule::Pool,
      .attributes = {"kernel", "stride", "padding", "dilation", "ceil_mode", "count_include_pad"},
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
          {"dilation",
           {sample_tensor({17, 1, 6, 7}, 8)},
           pool({.kernel = {2, 3}, .stride = 1, .padding = {1, 1}, .dilation = {3, 2}}),
           {0}},
          {"rows and columns left over", {sample_tensor({1, 1, 5, 3}, 4)}, pool({2, 2, 0}), {0}},
          {"no samples", {sample_tensor({0, 2, 4, 4}, 5)}, pool({}), {0}}}};
}

}  // namespace espalier
