// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/position_gate.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/detail/layer.h>

namespace espalier::nn {
namespace {

/// (K,C/p,R,S): of output group g the weights that read input part g.
Variable base_weight(const Variable& weight, int64_t parts) {
  const int64_t out = weight.size(0) / parts;
  const int64_t in = weight.size(1) / parts;
  std::vector<Variable> blocks;
  for (int64_t g = 0; g < parts; ++g) {
    blocks.push_back(slice(slice(weight, 0, g * out, (g + 1) * out), 1, g * in, (g + 1) * in));
  }
  return concat(blocks, 0);
}

/// 1 where a weight is not in the base, in the weight's shape.
Tensor rest_mask(const Shape& weight, int64_t parts, DType dtype) {
  Tensor mask = Tensor::ones({weight[0], weight[1], 1, 1}, dtype);
  const int64_t out = weight[0] / parts;
  const int64_t in = weight[1] / parts;
  for (int64_t g = 0; g < parts; ++g) {
    mask.slice(0, g * out, (g + 1) * out).slice(1, g * in, (g + 1) * in).fill_(0.0);
  }
  return mask;
}

Variable per_channel(const Variable& values) {
  return reshape(values, {1, values.numel(), 1, 1});
}

}  // namespace

PositionGate::PositionGate(const Options& options) : options_(options) {
  detail::check_positive(options.channels, "PositionGate", "channels");
  detail::check_positive(options.parts, "PositionGate", "parts");
  ESPALIER_CHECK(
      options.slope > 0.0, ValueError, "PositionGate: expects slope > 0, got ", options.slope);
  threshold = Parameter(Tensor::zeros({options.channels}));
  threshold.decays = false;
  running_mean = Tensor::zeros({options.channels});
  running_var = Tensor::ones({options.channels});
}

void PositionGate::visit(MemberVisitor& visitor) {
  visitor.parameter("threshold", threshold);
  visitor.buffer("running_mean", running_mean);
  visitor.buffer("running_var", running_var);
}

std::string PositionGate::describe() const {
  return cat("PositionGate(", options_.channels, ", 1/", options_.parts, " always)");
}

std::map<std::string, double> PositionGate::settings() const {
  return {{"parts", static_cast<double>(options_.parts)},
          {"slope", options_.slope},
          {"sparse_back", options_.sparse_back ? 1.0 : 0.0}};
}

Variable PositionGate::forward(const Variable& partial) {
  RunningStats running{running_mean, running_var};
  const auto constant = [&](double value) {
    Tensor values = Tensor::empty({options_.channels}, partial.dtype());
    values.fill_(value);
    return Variable(values);
  };
  const Variable normalized =
      batch_norm(partial,
                 constant(1.0),
                 constant(0.0),
                 &running,
                 {.training = training(), .momentum = options_.momentum, .eps = options_.eps});
  const Variable above = (normalized - per_channel(threshold.value)) * options_.slope;
  const Variable open = step_ste(sigmoid(above) + -0.5);
  // Times its own value: the same ones and zeros, but no gradient where it is 0.
  return options_.sparse_back ? open * open.detach() : open;
}

Variable PositionGate::partial_sum(const Variable& x,
                                   const Variable& weight,
                                   const Conv2dOptions& options) {
  Conv2dOptions grouped = options;
  grouped.groups = options_.parts;
  return espalier::conv2d(x, base_weight(weight, options_.parts), {}, grouped);
}

Variable PositionGate::conv2d(const Variable& x,
                              const Parameter& weight,
                              const Parameter& bias,
                              const Conv2dOptions& options) {
  if (skips(x) && options_.parts > 1) {
    return skip(x,
                weight.value.value(),
                bias.defined() ? bias.value.value() : Tensor(),
                conv2d_shape(x.shape(), weight.shape(), options, "PositionGate"));
  }
  const Variable partial = partial_sum(x, weight.value, options);
  Variable y = partial;
  if (options_.parts > 1) {
    const Variable mask(rest_mask(weight.shape(), options_.parts, x.dtype()));
    y = partial + forward(partial) * espalier::conv2d(x, weight.value * mask, {}, options);
  }
  return bias.defined() ? y + per_channel(bias.value) : y;
}

}  // namespace espalier::nn
