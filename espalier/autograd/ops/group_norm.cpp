// SPDX-License-Identifier: Apache-2.0
// group_norm: y = gamma xhat + beta with xhat = (x - mean) / sqrt(var + eps) over each sample's
// group. With h = gamma G: dL/dx = (h - mean(h) - xhat mean(h xhat)) / sqrt(var + eps), dL/dgamma =
// sum G xhat, dL/dbeta = sum G.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/kernels/group_norm.h>

namespace espalier {
namespace {

struct Group {
  int64_t groups;
  double eps;
};

/// The gradients in differentiable ops; x and grad (N,C,P).
std::vector<Variable> composed(const Variable& x,
                               const Variable& gamma,
                               const Variable& grad,
                               const Group& group,
                               const std::vector<bool>& needs) {
  const int64_t n = x.size(0), channels = x.size(1);
  const Shape grouped = {n, group.groups, channels / group.groups * x.size(2)};
  const auto mean_of = [](const Variable& v) { return mean(v, {2}, true); };

  const Variable xg = reshape(x, grouped);
  const Variable centred = xg - mean_of(xg);
  const Variable rstd = pow(mean_of(centred * centred) + group.eps, -0.5);
  const Variable xhat = centred * rstd;
  std::vector<Variable> gradients(3);
  if (needs[0]) {
    const Variable h = reshape(grad * reshape(gamma, {channels, 1}), grouped);
    const Variable dx = rstd * (h - mean_of(h) - xhat * mean_of(h * xhat));
    gradients[0] = reshape(dx, x.shape());
  }
  if (needs[1]) gradients[1] = sum(grad * reshape(xhat, x.shape()), {0, 2});
  if (needs[2]) gradients[2] = sum(grad, {0, 2});
  return gradients;
}

/// The same by the fused kernel.
std::vector<Variable> fused(const Tensor& x,
                            const Tensor& gamma,
                            const Tensor& grad,
                            const Group& group,
                            const GroupStatistics& statistics) {
  Tensor dx = Tensor::empty_like(x);
  Tensor dgamma = Tensor::empty_like(gamma);
  Tensor dbeta = Tensor::empty_like(gamma);
  group_norm_backward(x, grad, group.groups, gamma, statistics, dx, dgamma, dbeta);
  return {Variable(dx), Variable(dgamma), Variable(dbeta)};
}

/// x (N,C,P).
Variable normalize(const Variable& x,
                   const Variable& gamma,
                   const Variable& beta,
                   const Group& group) {
  const Tensor value = x.value().contiguous();
  const Tensor scale = gamma.value().to(Layout::Nchw).contiguous();
  const Tensor shift = beta.value().to(Layout::Nchw).contiguous();
  Tensor y = Tensor::empty_like(value);
  const GroupStatistics statistics =
      group_norm_forward(value, group.groups, scale, shift, group.eps, y);
  detail::describe_op([&] { return OpAttributes{{"groups", group.groups}, {"eps", group.eps}}; });
  return record(
      "group_norm",
      std::move(y),
      {x, gamma, beta},
      [x = Saved(x), gamma = Saved(gamma), group, statistics](const BackwardContext& ctx) {
        const Variable grad = to_layout(ctx.grad, x.layout());
        if (is_recording()) return composed(x, gamma, grad, group, ctx.needs);
        return fused(x.value().contiguous(),
                     gamma.value().to(Layout::Nchw).contiguous(),
                     grad.value().contiguous(),
                     group,
                     statistics);
      });
}

}  // namespace

Variable group_norm(
    const Variable& x, int64_t groups, const Variable& gamma, const Variable& beta, double eps) {
  detail::check_same_dtype(x, gamma, "group_norm");
  detail::check_same_dtype(x, beta, "group_norm");
  ESPALIER_CHECK(x.rank() >= 2, ShapeError, "group_norm: expects x (N,C,..), got ", x.shape());
  const int64_t channels = x.size(1);
  ESPALIER_CHECK(groups >= 1 && channels % groups == 0,
                 ShapeError,
                 "group_norm: ",
                 groups,
                 " groups don't divide the ",
                 channels,
                 " channels of ",
                 x.shape());
  ESPALIER_CHECK(gamma.shape() == Shape{channels} && beta.shape() == Shape{channels},
                 ShapeError,
                 "group_norm: expects gamma and beta of shape (",
                 channels,
                 ") for x ",
                 x.shape(),
                 ", got ",
                 gamma.shape(),
                 " and ",
                 beta.shape());
  ESPALIER_CHECK(
      eps >= 0.0, ValueError, "group_norm: expects an eps that is not negative, got ", eps);
  int64_t positions = 1;
  for (int d = 2; d < x.rank(); ++d) positions *= x.size(d);
  const Variable flat = reshape(x, {x.size(0), channels, positions});
  return reshape(normalize(flat, gamma, beta, {groups, eps}), x.shape());
}

OpInfo group_norm_op() {
  const auto with = [](int64_t groups) {
    return [groups](const std::vector<Variable>& in) {
      return group_norm(in[0], groups, in[1], in[2]);
    };
  };
  return {
      .name = "group_norm",
      .rule = OpRule::Freezes,
      .attributes = {"groups", "eps"},
      .samples = {{"two groups",
                   {sample_tensor({17, 4, 2, 2}, 1), sample_tensor({4}, 2), sample_tensor({4}, 3)},
                   with(2),
                   {0}},
                  {"one channel each",
                   {sample_tensor({2, 3, 4}, 4), sample_tensor({3}, 5), sample_tensor({3}, 6)},
                   with(3),
                   {0}},
                  {"no planes",
                   {sample_tensor({3, 6}, 7), sample_tensor({6}, 8), sample_tensor({6}, 9)},
                   with(2),
                   {0}},
                  {"no samples",
                   {sample_tensor({0, 4, 2}, 1), sample_tensor({4}, 2), sample_tensor({4}, 3)},
                   with(2),
                   {0}}}};
}

}  // namespace espalier
