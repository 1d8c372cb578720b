// SPDX-License-Identifier: Apache-2.0
// conv2d_backward_data: the adjoint of x -> conv2d(x, w), linear in grad and in w.
// d/dgrad = conv2d(g, w), d/dw = conv2d_backward_weight(g, grad), where g is the incoming gradient.
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/conv2d_detail.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/sparse/forms/conv2d.h>

namespace espalier {

Variable conv2d_backward_data(const Variable& grad,
                              const Variable& weight,
                              const Shape& input_shape,
                              const Conv2dOptions& options,
                              const sparse::WeightSparsity& sparsity) {
  detail::check_same_dtype(grad, weight, "conv2d_backward_data");
  const Conv2dShape shape =
      conv2d_shape(input_shape, weight.shape(), options, "conv2d_backward_data");
  detail::check_support(sparsity, weight.shape(), "conv2d_backward_data");
  Tensor dx = Tensor::empty(input_shape, grad.dtype(), grad.layout());
  if (detail::runs_sparse(shape, grad, sparsity, sparse::Pass::Backward)) {
    sparse::conv2d_backward_data(shape, grad.value(), weight.value(), *sparsity.support, dx);
  } else {
    espalier::conv2d_backward_data(shape, grad.value(), weight.value(), dx);
  }
  return record(
      "conv2d_backward_data",
      std::move(dx),
      {grad, weight},
      [options,
       sparsity,
       w_shape = weight.shape(),
       grad = Saved(weight.requires_grad() ? grad : Variable()),
       weight = Saved(grad.requires_grad() ? weight : Variable())](const BackwardContext& ctx) {
        return std::vector<Variable>{
            ctx.needs[0] ? conv2d(ctx.grad, weight, {}, options, sparsity) : Variable(),
            ctx.needs[1]
                ? conv2d_backward_weight(ctx.grad, grad, w_shape, options, sparsity.of_gradient())
                : Variable()};
      });
}

OpInfo conv2d_backward_data_op() {
  OpInfo info;
  info.name = "conv2d_backward_data";
  info.rule = OpRule::Freezes;
  for (const detail::ConvCase& c : detail::conv_cases()) {
    const sparse::WeightSparsity sparsity = detail::conv_sparsity(c);
    info.samples.push_back({c.name,
                            {sample_tensor(detail::conv_output(c), 1), sample_tensor(c.weight, 2)},
                            [c, sparsity](const std::vector<Variable>& in) {
                              const Variable weight =
                                  c.masked
                                      ? mul(in[1], detail::mask_constant(sparsity, in[1].dtype()))
                                      : in[1];
                              return conv2d_backward_data(in[0], weight, c.x, c.options, sparsity);
                            },
                            {0}});
  }
  return info;
}

}  // namespace espalier
