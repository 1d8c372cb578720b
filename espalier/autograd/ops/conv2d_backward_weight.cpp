// SPDX-License-Identifier: Apache-2.0
// conv2d_backward_weight: the adjoint of w -> conv2d(x, w), linear in x and in grad; times the mask
// when only kept positions are wanted. With g the incoming gradient (masked in the same way),
// d/dx = conv2d_backward_data(grad, g), d/dgrad = conv2d(x, g).
#include <espalier/autograd/kept_gradient.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/conv2d_detail.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/autograd/pending.h>
#include <espalier/sparse/forms/conv2d.h>
#include <espalier/sparse/kept_values.h>

namespace espalier {

Variable conv2d_backward_weight(const Variable& x,
                                const Variable& grad,
                                const Shape& weight_shape,
                                const Conv2dOptions& options,
                                const sparse::WeightSparsity& sparsity) {
  detail::check_same_dtype(x, grad, "conv2d_backward_weight");
  const Conv2dShape shape =
      conv2d_shape(x.shape(), weight_shape, options, "conv2d_backward_weight");
  detail::check_support(sparsity, weight_shape, "conv2d_backward_weight");
  const bool masked = detail::is_masked(sparsity);
  Tensor dw;
  if (masked && detail::runs_sparse(shape, x, sparsity, sparse::Pass::Backward)) {
    Tensor kept = Tensor::empty({sparsity.support->nnz()});
    sparse::conv2d_backward_weight(shape, mapped(x), grad.value(), *sparsity.support, kept);
    if (!is_recording()) return kept_gradient(std::move(kept), sparsity.support);
    dw = sparse::dense_from_kept(kept, *sparsity.support);
  } else {
    dw = Tensor::empty(weight_shape, x.dtype());
    espalier::conv2d_backward_weight(shape, mapped(x), grad.value(), dw);
    if (masked) dw = sparse::masked(dw, *sparsity.support);
  }
  return record(
      "conv2d_backward_weight",
      std::move(dw),
      {x, grad},
      [options,
       masked,
       sparsity,
       x_shape = x.shape(),
       x = Saved(grad.requires_grad() ? x : Variable()),
       grad = Saved(x.requires_grad() ? grad : Variable())](const BackwardContext& ctx) {
        // The dense gradient's adjoint is dense; the masked one's has the support of the weight.
        const sparse::WeightSparsity of_gradient = masked ? sparsity : sparse::WeightSparsity{};
        const Variable g =
            masked ? mul(ctx.grad, detail::mask_constant(sparsity, ctx.grad.dtype())) : ctx.grad;
        return std::vector<Variable>{
            ctx.needs[0] ? conv2d_backward_data(grad, g, x_shape, options, of_gradient)
                         : Variable(),
            ctx.needs[1] ? conv2d(x, g, {}, options, of_gradient) : Variable()};
      });
}

OpInfo conv2d_backward_weight_op() {
  OpInfo info;
  info.name = "conv2d_backward_weight";
  info.rule = OpRule::Freezes;
  for (const detail::ConvCase& c : detail::conv_cases()) {
    const sparse::WeightSparsity sparsity = detail::conv_sparsity(c);
    info.samples.push_back({c.name,
                            {sample_tensor(c.x, 1), sample_tensor(detail::conv_output(c), 2)},
                            [c, sparsity](const std::vector<Variable>& in) {
                              return conv2d_backward_weight(
                                  in[0], in[1], c.weight, c.options, sparsity);
                            },
                            {0, 1},
                            true});
  }
  return info;
}

}  // namespace espalier
