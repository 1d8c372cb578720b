// SPDX-License-Identifier: Apache-2.0
// batch_norm: y = gamma * xhat + beta, xhat = (x - mean) * r, r = 1 / sqrt(var + eps), per channel;
// with a residual r: + r; with `relu` max(y, 0). With g the incoming gradient (where y > 0, if
// relu) and E the mean over a channel: d/dbeta = sum g, d/dgamma = sum g xhat, d/dx = gamma r (g -
// E[g] - xhat E[g xhat]) in training, gamma r g with running statistics; d/dr = g. Source: Ioffe,
// Szegedy, arXiv:1502.03167, section 3.
#include <cmath>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/autograd/pending.h>
#include <espalier/core/kernels/batch_norm.h>
#include <espalier/core/loops.h>

namespace espalier {
namespace {

Tensor tensor_of(const std::vector<double>& values, DType dtype) {
  return Tensor::from({static_cast<int64_t>(values.size())}, values).to(dtype);
}

/// What forward leaves for backward: everything per channel.
struct Kept {
  bool training;
  double eps;
  double count;              // elements of a channel
  std::vector<double> mean;  // the statistics that were used
  std::vector<double> inv_std;
  bool relu;
  bool has_residual;
  ReluGate gate;  // of a ReLU without residual; with one the output tells
  std::shared_ptr<const PendingValue> pending;
};

/// (C) as (1,C,1,..), to broadcast over x.
Variable per_channel(const Variable& a, int rank) {
  Shape shape;
  for (int d = 0; d < rank; ++d) shape.push_back(d == 1 ? a.numel() : 1);
  return reshape(a, shape);
}

std::vector<int> all_but_channels(int rank) {
  std::vector<int> dims = {0};
  for (int d = 2; d < rank; ++d) dims.push_back(d);
  return dims;
}

/// The backward in two passes over memory. Not recorded.
std::vector<Variable> fused_backward(const BackwardContext& ctx,
                                     const Tensor& x,
                                     const Tensor& gamma,
                                     const Kept& kept) {
  std::vector<Variable> out(ctx.needs.size());
  // The residual's gradient is the gated one, so it is written down and used instead of the gate.
  Tensor dy = ctx.grad.value();
  ReluGate gate = kept.gate;
  ChannelSums sums;
  if (const GatedGradient* known = gated(ctx.grad, kept.pending)) {
    sums = known->sums;
    gate = {};
  } else if (kept.has_residual && kept.relu) {
    Tensor g = Tensor::empty_like(x);
    sums = open_sums(dy, x, ctx.output.value(), kept.mean, g);
    dy = g;
    gate = {};
  } else {
    sums = gated_sums(dy, x, kept.mean, gate);
  }
  const bool passed_on = kept.has_residual && ctx.needs[3];
  if (passed_on) out[3] = Variable(dy);
  const size_t channels = sums.g.size();
  if (ctx.needs[1]) {
    std::vector<double> dgamma(channels);
    for (size_t c = 0; c < channels; ++c) dgamma[c] = sums.g_x[c] * kept.inv_std[c];
    out[1] = Variable(tensor_of(dgamma, gamma.dtype()));
  }
  if (ctx.needs[2]) out[2] = Variable(tensor_of(sums.g, gamma.dtype()));
  if (ctx.needs[0]) {
    const std::vector<double> weight = gamma.to_vector<double>();
    std::vector<double> a(channels), b(channels, 0.0), c(channels, 0.0);
    for (size_t i = 0; i < channels; ++i) {
      const double r = kept.inv_std[i];
      a[i] = weight[i] * r;
      if (!kept.training) continue;
      b[i] = -a[i] * r * r * sums.g_x[i] / kept.count;
      c[i] = -a[i] * sums.g[i] / kept.count - b[i] * kept.mean[i];
    }
    Tensor dx;
    if (ctx.owns_grad && !(passed_on && !kept.relu) && ctx.grad.layout() == x.layout() &&
        ctx.grad.value().is_contiguous()) {
      dx = ctx.grad.value();
    } else {
      dx = Tensor::empty_like(x);
    }
    gated_combine(dy, x, a, b, c, gate, dx);
    out[0] = Variable(std::move(dx));
  }
  return out;
}

/// The same in differentiable ops, for derivatives of any order.
std::vector<Variable> recorded_backward(const BackwardContext& ctx,
                                        const Variable& x,
                                        const Variable& gamma,
                                        const Kept& kept) {
  const int rank = x.rank();
  const std::vector<int> dims = all_but_channels(rank);
  const auto mean_of = [&](const Variable& a) { return mul(sum(a, dims, true), 1.0 / kept.count); };
  Variable g = ctx.grad;
  if (kept.relu) {
    Tensor open = Tensor::empty_like(x.value());
    if (kept.has_residual) {
      open.copy_(ctx.output.value());
    } else {
      scale_shift(x.value(), kept.gate.scale, kept.gate.shift, true, open);
    }
    dispatch_floating(x.dtype(), "batch_norm", [&](auto zero) {
      using T = decltype(zero);
      map_into<T, T>(open, open, [](T y) { return y <= T{0} ? T{0} : T{1}; });
    });
    g = mul(g, Variable(open));
  }
  const auto constant = [&](const std::vector<double>& values) {
    return per_channel(Variable(tensor_of(values, x.dtype())), rank);
  };
  const Variable centered = sub(x, kept.training ? mean_of(x) : constant(kept.mean));
  const Variable r = kept.training ? pow(add(mean_of(mul(centered, centered)), kept.eps), -0.5)
                                   : constant(kept.inv_std);
  const Variable xhat = mul(centered, r);
  std::vector<Variable> out(ctx.needs.size());
  if (kept.has_residual && ctx.needs[3]) out[3] = g;
  if (ctx.needs[0]) {
    Variable inner = g;
    if (kept.training) inner = sub(sub(g, mean_of(g)), mul(xhat, mean_of(mul(g, xhat))));
    out[0] = mul(mul(per_channel(gamma, rank), r), inner);
  }
  if (ctx.needs[1]) out[1] = sum(mul(g, xhat), dims, false);
  if (ctx.needs[2]) out[2] = sum(g, dims, false);
  return out;
}

void update_running(Tensor& running,
                    const std::vector<double>& batch,
                    double momentum,
                    double factor) {
  const std::vector<double> old = running.to_vector<double>();
  std::vector<double> next(old.size());
  for (size_t c = 0; c < old.size(); ++c) {
    next[c] = (1.0 - momentum) * old[c] + momentum * factor * batch[c];
  }
  running.copy_(tensor_of(next, DType::F64));
}

void check_arguments(const Variable& x,
                     const Variable& gamma,
                     const Variable& beta,
                     const RunningStats* running,
                     const BatchNormOptions& options,
                     const Variable& residual) {
  ESPALIER_CHECK(x.rank() >= 2, ShapeError, "batch_norm: expects x (N,C,..), got ", x.shape());
  detail::check_same_dtype(x, gamma, "batch_norm");
  detail::check_same_dtype(x, beta, "batch_norm");
  const Shape channels = {x.size(1)};
  ESPALIER_CHECK(gamma.shape() == channels && beta.shape() == channels,
                 ShapeError,
                 "batch_norm: x ",
                 x.shape(),
                 " expects gamma and beta ",
                 channels,
                 ", got ",
                 gamma.shape(),
                 " and ",
                 beta.shape());
  ESPALIER_CHECK(options.training || running,
                 ValueError,
                 "batch_norm: expects running statistics when not training");
  ESPALIER_CHECK(
      !running || (running->mean.shape() == channels && running->var.shape() == channels),
      ShapeError,
      "batch_norm: expects running statistics ",
      channels,
      " for x ",
      x.shape());
  ESPALIER_CHECK(!options.training || x.size(1) == 0 || x.numel() / x.size(1) > 1,
                 ValueError,
                 "batch_norm: expects more than one value per channel in training, got x ",
                 x.shape(),
                 "; use a larger batch or training = false");
  if (!residual.defined()) return;
  detail::check_same_dtype(x, residual, "batch_norm");
  ESPALIER_CHECK(residual.shape() == x.shape(),
                 ShapeError,
                 "batch_norm: expects a residual of x's shape ",
                 x.shape(),
                 ", got ",
                 residual.shape());
}

}  // namespace

Variable batch_norm(const Variable& x,
                    const Variable& gamma,
                    const Variable& beta,
                    RunningStats* running,
                    const BatchNormOptions& options,
                    const Variable& residual) {
  check_arguments(x, gamma, beta, running, options, residual);
  const double count = static_cast<double>(x.size(1) == 0 ? 0 : x.numel() / x.size(1));
  Kept kept{.training = options.training,
            .eps = options.eps,
            .count = count,
            .mean = {},
            .inv_std = {},
            .relu = options.relu,
            .has_residual = residual.defined(),
            .gate = {},
            .pending = {}};
  std::vector<double> var;
  if (options.training) {
    ChannelMoments moments = channel_moments(x.value());
    kept.mean = std::move(moments.mean);
    var = std::move(moments.var);
    if (running) {
      update_running(running->mean, kept.mean, options.momentum, 1.0);
      update_running(running->var, var, options.momentum, count / (count - 1.0));
    }
  } else {
    kept.mean = running->mean.to_vector<double>();
    var = running->var.to_vector<double>();
  }
  ReluGate affine{gamma.value().to_vector<double>(), beta.value().to_vector<double>()};
  for (size_t c = 0; c < var.size(); ++c) {
    kept.inv_std.push_back(1.0 / std::sqrt(var[c] + options.eps));
    affine.scale[c] *= kept.inv_std[c];
    affine.shift[c] -= affine.scale[c] * kept.mean[c];
  }
  std::vector<Variable> inputs = {x, gamma, beta};
  if (kept.has_residual) inputs.push_back(residual);
  const bool gate_by_output = options.relu && kept.has_residual;
  // What x gives through a map need not exist, if nobody but kernels that know of maps wants it.
  const bool pends = !kept.has_residual && x.dtype() == DType::F32 &&
                     x.layout() == Layout::Nchw16n && x.value().is_contiguous() &&
                     is_recorded(inputs) && !is_observed();
  Tensor y;
  if (pends) {
    kept.pending = std::make_shared<const PendingValue>(
        x, ChannelMap{affine.scale, affine.shift, options.relu}, kept.mean);
  } else {
    y = Tensor::empty(x.shape(), x.dtype(), x.layout());
    scale_shift(x.value(),
                affine.scale,
                affine.shift,
                options.relu,
                y,
                kept.has_residual ? residual.value() : Tensor());
  }
  if (options.relu && !kept.has_residual) kept.gate = std::move(affine);
  detail::describe_op([&] {
    return OpAttributes{{"training", int64_t{options.training}},
                        {"momentum", options.momentum},
                        {"eps", options.eps},
                        {"relu", int64_t{options.relu}}};
  });
  const std::shared_ptr<const PendingValue> pending = kept.pending;
  auto backward =
      [x = Saved(x), gamma = Saved(gamma), kept = std::move(kept)](const BackwardContext& ctx) {
        return is_recording() ? recorded_backward(ctx, x, gamma, kept)
                              : fused_backward(ctx, x.value(), gamma.value(), kept);
      };
  if (pends) return record_pending("batch_norm", pending, std::move(inputs), std::move(backward));
  return record("batch_norm",
                std::move(y),
                std::move(inputs),
                std::move(backward),
                gate_by_output ? SaveOutput::Yes : SaveOutput::No);
}

OpInfo batch_norm_op() {
  const auto training = [](bool relu) {
    return [relu](const std::vector<Variable>& in) {
      return batch_norm(in[0], in[1], in[2], nullptr, {.relu = relu});
    };
  };
  const auto eval = [](bool relu) {
    return [relu](const std::vector<Variable>& in) {
      RunningStats running{Tensor::from<double>({3}, {0.1, -0.2, 0.3}),
                           Tensor::from<double>({3}, {0.5, 1.0, 2.0})};
      return batch_norm(in[0], in[1], in[2], &running, {.training = false, .relu = relu});
    };
  };
  const auto added = [](bool relu) {
    return [relu](const std::vector<Variable>& in) {
      return batch_norm(in[0], in[1], in[2], nullptr, {.relu = relu}, in[3]);
    };
  };
  const auto with_residual = [](const Shape& x) {
    return std::vector<Tensor>{sample_tensor(x, 1),
                               sample_tensor({3}, 2, 0.5, 1.5),
                               sample_tensor({3}, 3),
                               sample_tensor(x, 4)};
  };
  const auto inputs = [](const Shape& x) {
    return std::vector<Tensor>{
        sample_tensor(x, 1), sample_tensor({3}, 2, 0.5, 1.5), sample_tensor({3}, 3)};
  };
  return {
      .name = "batch_norm",
      .rule = OpRule::Freezes,
      .attributes = {"training", "momentum", "eps", "relu"},
      .samples = {{"planes", inputs({2, 3, 2, 3}), training(false), {0}},
                  {"planes, relu", inputs({2, 3, 2, 3}), training(true), {0}},
                  {"batch 17", inputs({17, 3, 1, 2}), training(true), {0}},
                  {"residual", with_residual({2, 3, 2, 3}), added(false), {0, 3}},
                  {"residual, relu", with_residual({2, 3, 2, 3}), added(true), {0, 3}},
                  {"residual, relu, batch 17", with_residual({17, 3, 1, 2}), added(true), {0, 3}},
                  {"features", inputs({5, 3}), training(false), {0}},
                  {"running statistics", inputs({3, 3, 2, 1}), eval(false), {0}},
                  {"running statistics, relu", inputs({3, 3, 2, 1}), eval(true), {0}},
                  {"empty batch", inputs({0, 3, 2, 1}), eval(false), {0}}}};
}

}  // namespace espalier
