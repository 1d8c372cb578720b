// SPDX-License-Identifier: Apache-2.0
// linear: y = x W^T + b.  Its three bilinear forms are closed under differentiation:
//   forward         F(x, w)[n,o] = sum_i w[o,i] x[n,i]
//   backward data   D(g, w)[n,i] = sum_o w[o,i] g[n,o]
//   backward weight W(x, g)[o,i] = sum_n g[n,o] x[n,i]
// F and D take the weight as m*w; W returns m*G or, when a dense gradient is asked for, all of G.
#include <tuple>
#include <utility>

#include <espalier/autograd/kept_gradient.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/kernels/gemm.h>
#include <espalier/core/kernels/linear/linear.h>
#include <espalier/core/loops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/sparse/choice/chooser.h>
#include <espalier/sparse/forms/conv2d.h>
#include <espalier/sparse/kept_values.h>

namespace espalier {
namespace {

using sparse::GradRequest;
using sparse::WeightSparsity;

Variable backward_data(const Variable& grad,
                       const Variable& weight,
                       const WeightSparsity& sparsity);
Variable backward_weight(const Variable& x, const Variable& grad, const WeightSparsity& sparsity);

/// A linear layer seen as a 1x1 convolution of planes of one position, for the sparse kernels.
Conv2dShape as_convolution(int64_t n, const Shape& weight) {
  return conv2d_shape({n, weight[1], 1, 1}, {weight[0], weight[1], 1, 1}, {}, "linear");
}

/// (N,C) as (N,C,1,1), sharing memory.
Tensor as_planes(const Tensor& a) {
  return a.reshape({a.size(0), a.size(1), 1, 1});
}

/// True when the sparse kernels are to run. They work in lanes; a plain activation is converted.
bool runs_sparse(const Tensor& activations,
                 const Shape& weight,
                 const WeightSparsity& sparsity,
                 sparse::Pass pass) {
  const int64_t n = activations.size(0);
  if (!sparsity.support || weight.numel() == 0) return false;
  return sparse::takes_sparse_conv2d(as_convolution(n, weight),
                                     activations.dtype(),
                                     Layout::Nchw16n,
                                     *sparsity.support,
                                     pass,
                                     "linear");
}

/// Calls compute(result in lanes), and gives the result in `layout`.
template <class Compute>
Tensor in_lanes(const Shape& shape, Layout layout, Compute compute) {
  Tensor lanes = Tensor::empty(shape, DType::F32, Layout::Nchw16n);
  Tensor planes = as_planes(lanes);
  compute(planes);
  return lanes.to(layout);
}

Tensor lane_planes(const Variable& a) {
  return as_planes(a.value().to(Layout::Nchw16n));
}

/// m*w as a plain tensor.
Tensor plain_weight(const Variable& weight, const WeightSparsity& sparsity) {
  const Tensor w = weight.value().to(Layout::Nchw);
  return sparsity.support ? sparse::masked(w, *sparsity.support) : w;
}

/// Both gradients at once at kept positions. Not recorded.
std::pair<Variable, Variable> masked_backward(const Variable& x,
                                              const Variable& grad,
                                              const Variable& weight,
                                              const WeightSparsity& sparsity) {
  Tensor dw = Tensor::empty({sparsity.support->nnz()});
  Tensor dx = in_lanes(x.shape(), x.layout(), [&](Tensor& planes) {
    sparse::conv2d_backward(as_convolution(x.size(0), weight.shape()),
                            lane_planes(x),
                            lane_planes(grad),
                            weight.value(),
                            *sparsity.support,
                            planes,
                            dw);
  });
  return {Variable(std::move(dx)), kept_gradient(std::move(dw), sparsity.support)};
}

Variable forward(const Variable& x,
                 const Variable& weight,
                 const Variable& bias,
                 const WeightSparsity& sparsity) {
  const Tensor b = bias.defined() ? bias.value().to(Layout::Nchw) : Tensor();
  const Shape y_shape = {x.size(0), weight.size(0)};
  Tensor y;
  if (runs_sparse(x.value(), weight.shape(), sparsity, sparse::Pass::Forward)) {
    y = in_lanes(y_shape, x.layout(), [&](Tensor& planes) {
      sparse::conv2d_forward(as_convolution(x.size(0), weight.shape()),
                             lane_planes(x),
                             weight.value(),
                             *sparsity.support,
                             b,
                             planes);
    });
  } else if (x.layout() == Layout::Nchw16n) {
    y = Tensor::empty(y_shape, x.dtype(), x.layout());
    linear_forward(x.value(), plain_weight(weight, sparsity), b, y);
  } else {
    y = Tensor::empty(y_shape, x.dtype());
    gemm(x.value(), plain_weight(weight, sparsity).transpose(0, 1), y);
    count_macs(x.size(0) * weight.numel());
    if (bias.defined()) {
      dispatch_floating(y.dtype(), "linear", [&](auto zero) {
        using T = decltype(zero);
        map_into<T, T, T>(y, y, b, [](T sum, T constant) { return sum + constant; });
      });
    }
  }
  return record(
      "linear",
      std::move(y),
      {x, weight, bias},
      [sparsity,
       has_bias = bias.defined(),
       layout = x.layout(),
       bias_shape = bias.defined() ? bias.shape() : Shape(),
       x = Saved(weight.requires_grad() ? x : Variable()),
       weight = Saved(x.requires_grad() ? weight : Variable())](const BackwardContext& ctx) {
        std::vector<Variable> gradients(3);
        const Variable grad = to_layout(ctx.grad, layout);
        if (ctx.needs[0] && ctx.needs[1] && !is_recording() &&
            sparsity.request == GradRequest::Masked && !sparsity.gradient &&
            runs_sparse(x.value(), weight.shape(), sparsity, sparse::Pass::Backward)) {
          std::tie(gradients[0], gradients[1]) = masked_backward(x, grad, weight, sparsity);
        } else {
          if (ctx.needs[0]) gradients[0] = backward_data(grad, weight, sparsity);
          if (ctx.needs[1]) gradients[1] = backward_weight(x, grad, sparsity.of_gradient());
        }
        if (has_bias && ctx.needs[2]) {
          gradients[2] = sum_to(grad, bias_shape, Layout::Nchw);
        }
        return gradients;
      });
}

Variable backward_data(const Variable& grad,
                       const Variable& weight,
                       const WeightSparsity& sparsity) {
  const Shape dx_shape = {grad.size(0), weight.size(1)};
  Tensor dx;
  if (runs_sparse(grad.value(), weight.shape(), sparsity, sparse::Pass::Backward)) {
    dx = in_lanes(dx_shape, grad.layout(), [&](Tensor& planes) {
      sparse::conv2d_backward_data(as_convolution(grad.size(0), weight.shape()),
                                   lane_planes(grad),
                                   weight.value(),
                                   *sparsity.support,
                                   planes);
    });
  } else if (grad.layout() == Layout::Nchw16n) {
    dx = Tensor::empty(dx_shape, grad.dtype(), grad.layout());
    linear_backward_data(grad.value(), plain_weight(weight, sparsity), dx);
  } else {
    dx = Tensor::empty(dx_shape, grad.dtype());
    gemm(grad.value(), plain_weight(weight, sparsity), dx);
  }
  return record(
      "linear_backward_data",
      std::move(dx),
      {grad, weight},
      [sparsity,
       layout = grad.layout(),
       grad = Saved(weight.requires_grad() ? grad : Variable()),
       weight = Saved(grad.requires_grad() ? weight : Variable())](const BackwardContext& ctx) {
        std::vector<Variable> gradients(2);
        const Variable u = to_layout(ctx.grad, layout);
        if (ctx.needs[0]) gradients[0] = forward(u, weight, {}, sparsity);
        if (ctx.needs[1]) gradients[1] = backward_weight(u, grad, sparsity.of_gradient());
        return gradients;
      });
}

Variable backward_weight(const Variable& x, const Variable& grad, const WeightSparsity& sparsity) {
  // A dense gradient has no mask in it: neither here nor in its own derivatives.
  const WeightSparsity wanted =
      sparsity.request == GradRequest::Masked ? sparsity : WeightSparsity();
  const Shape w_shape = {grad.size(1), x.size(1)};
  Tensor dw;
  if (runs_sparse(x.value(), w_shape, wanted, sparse::Pass::Backward)) {
    Tensor kept = Tensor::empty({wanted.support->nnz()});
    sparse::conv2d_backward_weight(as_convolution(x.size(0), w_shape),
                                   lane_planes(x),
                                   lane_planes(grad),
                                   *wanted.support,
                                   kept);
    if (!is_recording()) return kept_gradient(std::move(kept), wanted.support);
    dw = sparse::dense_from_kept(kept, *wanted.support);
  } else {
    dw = Tensor::empty(w_shape, x.dtype());
    if (x.layout() == Layout::Nchw16n) {
      linear_backward_weight(x.value(), grad.value(), dw);
    } else {
      gemm(grad.value().transpose(0, 1), x.value(), dw);
    }
    if (wanted.support) dw = sparse::masked(dw, *wanted.support);
  }
  return record("linear_backward_weight",
                std::move(dw),
                {x, grad},
                [wanted,
                 x = Saved(grad.requires_grad() ? x : Variable()),
                 grad = Saved(x.requires_grad() ? grad : Variable())](const BackwardContext& ctx) {
                  std::vector<Variable> gradients(2);
                  if (ctx.needs[0]) gradients[0] = backward_data(grad, ctx.grad, wanted);
                  if (ctx.needs[1]) gradients[1] = forward(x, ctx.grad, {}, wanted);
                  return gradients;
                });
}

}  // namespace

Variable linear(const Variable& x,
                const Variable& weight,
                const Variable& bias,
                const WeightSparsity& sparsity) {
  detail::check_same_dtype(x, weight, "linear");
  ESPALIER_CHECK(weight.rank() == 2 && x.rank() >= 1 && x.size(-1) == weight.size(1),
                 ShapeError,
                 "linear: expects x (.., in) and weight (out, in), got ",
                 x.value(),
                 " and ",
                 weight.value(),
                 x.rank() > 2 ? ". Did you forget to flatten?" : "");
  if (bias.defined()) {
    detail::check_same_dtype(x, bias, "linear");
    ESPALIER_CHECK(bias.shape() == Shape{weight.size(0)},
                   ShapeError,
                   "linear: expects a bias of shape (",
                   weight.size(0),
                   ") for weight ",
                   weight.shape(),
                   ", got ",
                   bias.shape());
  }
  for (const auto& support : {sparsity.support, sparsity.gradient}) {
    ESPALIER_CHECK(!support || support->shape() == weight.shape(),
                   ShapeError,
                   "linear: the support has shape ",
                   support ? support->shape() : Shape(),
                   ", the weight ",
                   weight.shape());
  }
  if (x.rank() == 2) return forward(x, weight, bias, sparsity);
  int64_t rows = 1;
  for (int d = 0; d + 1 < x.rank(); ++d) rows *= x.size(d);
  const Variable flat = reshape(to_layout(x, Layout::Nchw), {rows, weight.size(1)});
  return reshape(forward(flat, weight, bias, sparsity),
                 x.shape().with(x.rank() - 1, weight.size(0)));
}

OpInfo linear_op() {
  const auto run = [](const std::vector<Variable>& in) {
    return linear(in[0], in[1], in.size() > 2 ? in[2] : Variable());
  };
  const auto with_mask = [run](const std::vector<uint8_t>& mask, const Shape& shape) {
    const auto support = std::make_shared<sparse::Support>(Tensor::from(shape, mask));
    return [support](const std::vector<Variable>& in) {
      return linear(in[0], in[1], in[2], {support, GradRequest::Masked});
    };
  };
  const auto naive = [](const OpSample& sample) {
    const Tensor &x = sample.inputs[0], &w = sample.inputs[1];
    Tensor flat = x.reshape({w.size(1) == 0 ? x.size(0) : x.numel() / w.size(1), w.size(1)});
    Tensor y = Tensor::empty({flat.size(0), w.size(0)}, DType::F64);
    Tensor kept = w;
    const auto keep = [&](const std::vector<uint8_t>& mask) {
      kept = sparse::masked(w, sparse::Support(Tensor::from(w.shape(), mask)));
    };
    if (sample.name == "few kept weights") keep({0, 1, 0, 0, 0, 1});
    if (sample.name == "many kept weights") keep({1, 1, 0, 1, 1, 1});
    const Tensor bias = sample.inputs.size() > 2 ? sample.inputs[2] : Tensor();
    reference::linear_forward(flat, kept, bias, y);
    return y.to_vector<double>();
  };
  return {
      .name = "linear",
      .rule = OpRule::Freezes,
      .samples = {{"with bias",
                   {sample_tensor({17, 3}, 1), sample_tensor({5, 3}, 2), sample_tensor({5}, 3)},
                   run,
                   {0}},
                  {"without bias", {sample_tensor({2, 4}, 4), sample_tensor({3, 4}, 5)}, run, {0}},
                  {"more dimensions",
                   {sample_tensor({2, 3, 2}, 6), sample_tensor({3, 2}, 7), sample_tensor({3}, 8)},
                   run,
                   {0},
                   true},
                  {"one vector", {sample_tensor({3}, 9), sample_tensor({2, 3}, 10)}, run},
                  {"few kept weights",
                   {sample_tensor({5, 3}, 11), sample_tensor({2, 3}, 12), sample_tensor({2}, 13)},
                   with_mask({0, 1, 0, 0, 0, 1}, {2, 3}),
                   {0}},
                  {"many kept weights",
                   {sample_tensor({5, 3}, 14), sample_tensor({2, 3}, 15), sample_tensor({2}, 16)},
                   with_mask({1, 1, 0, 1, 1, 1}, {2, 3}),
                   {0}},
                  {"no samples", {sample_tensor({0, 3}, 17), sample_tensor({2, 3}, 18)}, run, {0}}},
      .reference = naive};
}

}  // namespace espalier
