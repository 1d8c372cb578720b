// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/cut.h>

#include <algorithm>

namespace espalier::prune {
namespace {

/// The entries `indices` of dimension `dim`, in a tensor of its own.
Tensor select(const Tensor& tensor, int dim, const std::vector<int64_t>& indices) {
  const Tensor source = tensor.contiguous();
  Tensor result =
      Tensor::empty(source.shape().with(dim, static_cast<int64_t>(indices.size())), source.dtype());
  int64_t outer = 1;
  for (int d = 0; d < dim; ++d) outer *= source.size(d);
  int64_t inner = item_size(source.dtype());
  for (int d = dim + 1; d < source.rank(); ++d) inner *= source.size(d);
  const auto* from = static_cast<const uint8_t*>(source.raw());
  auto* to = static_cast<uint8_t*>(result.raw());
  for (int64_t o = 0; o < outer; ++o) {
    for (const int64_t index : indices) {
      to = std::copy_n(from + (o * source.size(dim) + index) * inner, inner, to);
    }
  }
  return result;
}

}  // namespace

Tensor cut(Tensor tensor, const Cuts& cuts) {
  for (const auto& [dim, indices] : cuts) tensor = select(tensor, dim, indices);
  return tensor;
}

CutParameter::CutParameter(const nn::NamedParameter& named,
                           const Cuts& cuts,
                           nn::Optimizer* optimizer)
    : parameter_(*named.parameter),
      value_(cut(named.parameter->value.value(), cuts)),
      request_(parameter_.grad_request),
      requires_grad_(parameter_.value.requires_grad()) {
  if (parameter_.masked()) {
    const Tensor mask = cut(parameter_.mask(), cuts);
    const std::vector<uint8_t> entries = mask.to_vector<uint8_t>();
    if (std::ranges::any_of(entries, [](uint8_t m) { return m == 0; })) mask_ = mask;
  }
  if (optimizer == nullptr) return;
  for (const nn::ParameterGroup& group : optimizer->groups()) {
    for (const nn::NamedParameter& own : group.parameters) {
      if (own.parameter != named.parameter) continue;
      optimizer_ = optimizer;
      name_ = own.name;
      slots_ = optimizer->slots(own.name);
      for (auto& [kind, slot] : slots_) slot = cut(slot, cuts);
    }
  }
}

void CutParameter::apply() {
  ESPALIER_CHECK(parameter_.shape() == value_.shape(),
                 ShapeError,
                 "channels: a layer made ",
                 parameter_.shape(),
                 " of what should be ",
                 value_.shape());
  parameter_.value.value() = value_;
  parameter_.value.set_requires_grad(requires_grad_);
  parameter_.set_mask(mask_);
  parameter_.grad_request = request_;
  if (optimizer_ != nullptr) optimizer_->set_slots(name_, slots_);
  parameter_.value.zero_grad();
}

}  // namespace espalier::prune
