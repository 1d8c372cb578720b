// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/channel_gate.h>

#include <utility>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/kinds.h>

namespace espalier::nn {
namespace {

/// Gates that open half of all channels leave a quarter of the products. Weights that are sparser
/// run their sparse kernel, and closed channels are multiplied by zero.
bool weights_leave_less(const Variable& x, const Parameter& weight) {
  constexpr int64_t kOneOf = 4;
  return weight.masked() && x.value().layout() == Layout::Nchw16n &&
         kOneOf * weight.nnz() < weight.numel();
}

}  // namespace

std::string ChannelGate::describe() const {
  return cat("ChannelGate(", decision_->describe(), ")");
}

Variable ChannelGate::product(const Variable& x, const LayerProduct& layer) {
  ESPALIER_CHECK(layer.conv != nullptr, ValueError, "ChannelGate: is a part of convolutions");
  skipped_ =
      !training() && may_skip(x) && layer.conv->groups == 1 && !weights_leave_less(x, layer.weight);
  if (skipped_) {
    return skip(
        x, layer, conv2d_shape(x.shape(), layer.weight.shape(), *layer.conv, "ChannelGate"));
  }
  open_ = decide(x);
  const Variable y =
      conv2d(x, layer.weight.value, layer.bias.value, *layer.conv, layer.weight.sparsity());
  return has_norm() ? y : boost(y);
}

Variable ChannelGate::take_decision(const Variable& y) {
  ESPALIER_CHECK(
      open_.defined() && open_.size(0) == y.size(0),
      ValueError,
      "ChannelGate: the batch norm ran without the convolution before it, which decides");
  return std::exchange(open_, {});
}

Variable ChannelGate::boost(const Variable& y) {
  if (training()) show(y);
  return y * reshape(take_decision(y), {y.size(0), y.size(1), 1, 1});
}

Variable ChannelGate::behind_norm(const NormCall& norm) {
  if (std::exchange(skipped_, false)) return finish(norm);
  const bool learns_scale = !decision_->is_scale();
  if (!norm.residual.defined()) {  // what is decided is not negative: it passes through the ReLU
    return boost(norm.normalized(norm.relu, learns_scale));
  }
  const Variable boosted = boost(norm.normalized(false, learns_scale));
  return norm.relu ? relu(boosted + norm.residual) : boosted + norm.residual;
}

PartKind channel_gate_part() {
  return {
      .name = "channels", .make = [](const PartPlace& place, const PartDescription& description) {
        ESPALIER_CHECK(place.site && place.site->slot.parameter->shape().rank() == 4,
                       ValueError,
                       "gates: ",
                       place.name,
                       " is no convolution; it can have no gate of channels");
        const Shape& weight = place.site->slot.parameter->shape();
        auto decision =
            described_decision(description,
                               "saliency",
                               {.inputs = weight[1] * place.site->slot.groups, .units = weight[0]});
        ESPALIER_CHECK(!decision->is_scale() || description.words.contains("norm"),
                       ValueError,
                       "gates: ",
                       place.name,
                       " has a gate in the place of a batch norm's scale, but no batch norm");
        return std::make_shared<ChannelGate>(std::move(decision));
      }};
}

}  // namespace espalier::nn
