// SPDX-License-Identifier: Apache-2.0
// conv2d: y[n,k,p,q] = b[k] + sum_{c,r,s} w[k,c,r,s] x[n,c,p*stride-pad+r*dil,q*stride-pad+s*dil].
// d/dx = conv2d_backward_data(dy, w), d/dw = conv2d_backward_weight(x, dy), d/db = sum of dy.
#include <tuple>

#include <espalier/autograd/kept_gradient.h>
#include <espalier/autograd/observer.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/conv2d_detail.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/autograd/pending.h>
#include <espalier/sparse/forms/conv2d.h>
#include <espalier/sparse/kept_values.h>

namespace espalier {
namespace detail {

void check_support(const sparse::WeightSparsity& sparsity,
                   const Shape& weight,
                   std::string_view op) {
  for (const auto& support : {sparsity.support, sparsity.gradient}) {
    ESPALIER_CHECK(!support || support->shape() == weight,
                   ShapeError,
                   op,
                   ": expects a support of the weight's shape ",
                   weight,
                   ", got ",
                   support ? support->shape() : Shape());
  }
}

bool runs_sparse(const Conv2dShape& shape,
                 const Variable& activations,
                 const sparse::WeightSparsity& sparsity,
                 sparse::Pass pass) {
  return sparsity.support &&
         sparse::takes_sparse_conv2d(
             shape, activations.dtype(), activations.layout(), *sparsity.support, pass, "conv2d");
}

Variable mask_constant(const sparse::WeightSparsity& sparsity, DType dtype) {
  return Variable(sparsity.support->mask().to(dtype));
}

std::pair<Variable, Variable> masked_backward(const Variable& x,
                                              const Variable& grad,
                                              const Variable& weight,
                                              const Tensor& kept,
                                              const Variable& gathered,
                                              bool unseen,
                                              const Conv2dOptions& options,
                                              const sparse::WeightSparsity& sparsity) {
  const Conv2dShape shape = conv2d_shape(x.shape(), weight.shape(), options, "conv2d");
  if (!runs_sparse(shape, x, sparsity, sparse::Pass::Backward)) return {};
  const bool adds = gathered.defined() && gathered.value().layout() == x.layout();
  Tensor dx = adds ? gathered.value() : Tensor::empty(x.shape(), x.dtype(), x.layout());
  Tensor dw = Tensor::empty({sparsity.support->nnz()});
  const MappedTensor input = mapped(x);
  const Tensor& w = kept.defined() ? kept : weight.value();
  if (unseen && !gathered.defined() && input.map != nullptr && input.map->relu) {
    const std::shared_ptr<const PendingValue> pending = pending_of(x);
    sparse::GatedResult gate{pending->mean()};
    sparse::conv2d_backward(shape, input, grad.value(), w, *sparsity.support, dx, dw, gate);
    return {gated_gradient(std::move(dx), {pending, std::move(gate.sums)}),
            kept_gradient(std::move(dw), sparsity.support)};
  }
  sparse::conv2d_backward(shape,
                          input,
                          grad.value(),
                          w,
                          *sparsity.support,
                          dx,
                          dw,
                          adds ? sparse::Result::Adds : sparse::Result::Replaces);
  return {Variable(std::move(dx)), kept_gradient(std::move(dw), sparsity.support)};
}

std::vector<ConvCase> conv_cases() {
  return {
      {"3x3", {2, 2, 4, 5}, {3, 2, 3, 3}, {.padding = 1}},
      {"batch 17", {17, 1, 3, 3}, {2, 1, 2, 2}, {}},
      {"batch 1", {1, 3, 5, 4}, {2, 3, 3, 3}, {.padding = 1}},
      {"stride 2", {2, 2, 5, 6}, {3, 2, 3, 3}, {.stride = 2, .padding = 1}},
      {"uneven stride, padding", {2, 1, 5, 7}, {2, 1, 2, 3}, {.stride = {3, 2}, .padding = {0, 2}}},
      {"dilation", {1, 2, 6, 7}, {2, 2, 2, 3}, {.padding = 2, .dilation = {3, 2}}},
      {"groups", {2, 4, 3, 3}, {6, 2, 3, 3}, {.padding = 1, .groups = 2}},
      {"depthwise", {2, 3, 4, 3}, {3, 1, 3, 3}, {.padding = 1, .groups = 3}},
      {"1x1", {3, 5, 2, 2}, {4, 5, 1, 1}, {}},
      {"whole plane", {2, 2, 3, 3}, {2, 2, 3, 3}, {}},
      {"masked", {2, 2, 4, 4}, {3, 2, 3, 3}, {.padding = 1}, true},
      {"empty batch", {0, 2, 4, 4}, {3, 2, 3, 3}, {.padding = 1}},
  };
}

Shape conv_output(const ConvCase& c) {
  const Conv2dShape s = conv2d_shape(c.x, c.weight, c.options, "conv2d sample");
  return {s.n, s.k, s.p, s.q};
}

sparse::WeightSparsity conv_sparsity(const ConvCase& c) {
  if (!c.masked) return {};
  Tensor mask = Tensor::empty(c.weight, DType::U8);
  for (int64_t i = 0; i < mask.numel(); ++i) mask.data<uint8_t>()[i] = (i * 7 / 3) % 2 == 0;
  return {.support = std::make_shared<const sparse::Support>(mask)};
}

}  // namespace detail

Variable conv2d(const Variable& x,
                const Variable& weight,
                const Variable& bias,
                const Conv2dOptions& options,
                const sparse::WeightSparsity& sparsity) {
  detail::check_same_dtype(x, weight, "conv2d");
  if (bias.defined()) detail::check_same_dtype(x, bias, "conv2d");
  const Conv2dShape shape = conv2d_shape(x.shape(), weight.shape(), options, "conv2d");
  detail::check_support(sparsity, weight.shape(), "conv2d");
  Tensor y = Tensor::empty({shape.n, shape.k, shape.p, shape.q}, x.dtype(), x.layout());
  const Tensor b = bias.defined() ? bias.value() : Tensor();
  Tensor kept;  // both passes use it: gathering it reads most lines of the weight
  if (detail::runs_sparse(shape, x, sparsity, sparse::Pass::Forward)) {
    kept = sparse::kept_values(weight.value(), *sparsity.support);
    sparse::conv2d_forward(shape, mapped(x), kept, *sparsity.support, b, y);
  } else {
    conv2d_forward(shape, mapped(x), weight.value(), b, y);
  }
  std::vector<Variable> inputs = {x, weight};
  if (bias.defined()) inputs.push_back(bias);
  detail::describe_op([&] {
    return OpAttributes{{"stride", OpAttributes::list(options.stride)},
                        {"padding", OpAttributes::list(options.padding)},
                        {"dilation", OpAttributes::list(options.dilation)},
                        {"groups", options.groups}};
  });
  return record(
      "conv2d",
      std::move(y),
      std::move(inputs),
      [options,
       sparsity,
       kept,
       x_shape = x.shape(),
       w_shape = weight.shape(),
       x = Saved(weight.requires_grad() ? x : Variable()),
       weight = Saved(x.requires_grad() ? weight : Variable())](const BackwardContext& ctx) {
        std::vector<Variable> gradients(ctx.needs.size());
        const bool together = detail::is_masked(sparsity) && !sparsity.gradient;
        if (ctx.needs[0] && ctx.needs[1] && together && !is_recording()) {
          std::tie(gradients[0], gradients[1]) = detail::masked_backward(
              x, ctx.grad, weight, kept, ctx.gathered[0], ctx.unseen[0], options, sparsity);
        }
        if (ctx.needs[0] && !gradients[0].defined()) {
          gradients[0] = conv2d_backward_data(ctx.grad, weight, x_shape, options, sparsity);
        }
        if (ctx.needs[1] && !gradients[1].defined()) {
          gradients[1] =
              conv2d_backward_weight(x, ctx.grad, w_shape, options, sparsity.of_gradient());
        }
        if (ctx.needs.size() > 2 && ctx.needs[2]) gradients[2] = sum(ctx.grad, {0, 2, 3});
        return gradients;
      });
}

OpInfo conv2d_op() {
  OpInfo info;
  info.name = "conv2d";
  info.rule = OpRule::Freezes;
  info.attributes = {"stride", "padding", "dilation", "groups"};
  for (const detail::ConvCase& c : detail::conv_cases()) {
    const sparse::WeightSparsity sparsity = detail::conv_sparsity(c);
    info.samples.push_back(
        {c.name,
         {sample_tensor(c.x, 1), sample_tensor(c.weight, 2), sample_tensor({c.weight[0]}, 3)},
         [c, sparsity](const std::vector<Variable>& in) {
           const Variable weight =
               c.masked ? mul(in[1], detail::mask_constant(sparsity, in[1].dtype())) : in[1];
           return conv2d(in[0], weight, in[2], c.options, sparsity);
         },
         {0}});
  }
  return info;
}

}  // namespace espalier
