// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/position_gate.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/kinds.h>

namespace espalier::nn {
namespace {

/// Below this density of a mask sparse kernels over all positions are ahead of kernels that leave
/// out positions and know no mask.
constexpr double kSparseDensity = 0.25;

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

/// 1 where a weight is not in the base.
Tensor rest_mask(const Shape& weight, int64_t parts) {
  Tensor mask = Tensor::ones(weight, DType::U8);
  const int64_t out = weight[0] / parts;
  const int64_t in = weight[1] / parts;
  for (int64_t g = 0; g < parts; ++g) {
    mask.slice(0, g * out, (g + 1) * out).slice(1, g * in, (g + 1) * in).fill_(0.0);
  }
  return mask;
}

bool is_sparse(const Parameter& weight) {
  return static_cast<double>(weight.nnz()) <= kSparseDensity * static_cast<double>(weight.numel());
}

Variable per_channel(const Variable& values) {
  return reshape(values, {1, values.numel(), 1, 1});
}

}  // namespace

PositionGate::PositionGate(int64_t parts, std::shared_ptr<Decision> decision)
    : Gate(std::move(decision)), parts_(parts) {
  ESPALIER_CHECK(parts > 0, ValueError, "PositionGate: expects parts > 0, got ", parts);
}

std::string PositionGate::describe() const {
  return cat("PositionGate(1/", parts_, " always, ", decision_->describe(), ")");
}

std::map<std::string, double> PositionGate::settings() const {
  std::map<std::string, double> out = decision_->settings();
  out["parts"] = static_cast<double>(parts_);
  return out;
}

Variable PositionGate::partial_sum(const Variable& x,
                                   const Parameter& weight,
                                   const Conv2dOptions& options) {
  if (is_sparse(weight)) {
    Tensor base = rest_mask(weight.shape(), parts_);
    for (int64_t i = 0; i < base.numel(); ++i) base.data<uint8_t>()[i] ^= 1;
    return masked_sum(x, weight, options, base, base_);
  }
  Conv2dOptions grouped = options;
  grouped.groups = parts_;
  return espalier::conv2d(x, base_weight(weight.value, parts_), {}, grouped);
}

Variable PositionGate::masked_sum(const Variable& x,
                                  const Parameter& weight,
                                  const Conv2dOptions& options,
                                  const Tensor& part,
                                  SupportOf& support) {
  sparse::WeightSparsity sparsity = weight.sparsity();
  if (weight.masked()) {
    Tensor kept = part.clone();
    const Tensor mask = weight.mask();
    for (int64_t i = 0; i < kept.numel(); ++i) {
      kept.data<uint8_t>()[i] &= mask.data<uint8_t>()[i];
    }
    sparsity.support = support(kept);
  }
  return espalier::conv2d(
      x, weight.value * Variable(part.to(weight.value.dtype())), {}, options, sparsity);
}

Variable PositionGate::product(const Variable& x, const LayerProduct& layer) {
  ESPALIER_CHECK(layer.conv != nullptr, ValueError, "PositionGate: is a part of convolutions");
  const Parameter& weight = layer.weight;
  const bool sparse = is_sparse(weight);
  if (!training() && may_skip(x) && parts_ > 1 && !sparse) {
    return skip(x, layer, conv2d_shape(x.shape(), weight.shape(), *layer.conv, "PositionGate"));
  }
  // Sparse kernels work in lanes.
  const Variable in = sparse && x.dtype() == DType::F32 ? to_layout(x, Layout::Nchw16n) : x;
  const Variable partial = partial_sum(in, weight, *layer.conv);
  Variable y = partial;
  if (parts_ > 1) {
    const Tensor rest = rest_mask(weight.shape(), parts_);
    y = partial + decide(partial) * masked_sum(in, weight, *layer.conv, rest, rest_);
  }
  if (layer.bias.defined()) y = y + per_channel(layer.bias.value);
  return y.layout() == x.layout() ? y : to_layout(y, x.layout());
}

PartKind position_gate_part() {
  return {.name = "positions",
          .make = [](const PartPlace& place, const PartDescription& description) {
            constexpr int64_t kMostParts = 65536;
            const int64_t parts = description.whole("parts", 1, kMostParts);
            const FormSite* site = place.site;
            ESPALIER_CHECK(site != nullptr && site->slot.parameter->shape().rank() == 4 &&
                               site->slot.groups == 1 &&
                               site->slot.parameter->shape()[0] % parts == 0 &&
                               site->slot.parameter->shape()[1] % parts == 0,
                           ValueError,
                           "gates: ",
                           place.name,
                           " is no convolution that can be cut into ",
                           parts,
                           " parts");
            const Shape& weight = site->slot.parameter->shape();
            return std::make_shared<PositionGate>(
                parts,
                described_decision(
                    description, "partial-sum", {.inputs = weight[0], .units = weight[0]}));
          }};
}

}  // namespace espalier::nn
