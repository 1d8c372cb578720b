// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/block_gate.h>

#include <algorithm>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/kinds.h>

namespace espalier::nn {
namespace {

/// Samples of x, in x's layout.
Tensor samples_of(const Tensor& x, const std::vector<int64_t>& samples) {
  const Tensor plain = x.to(Layout::Nchw).contiguous();
  Tensor out = Tensor::empty(x.shape().with(0, static_cast<int64_t>(samples.size())));
  const int64_t size = plain.numel() / plain.size(0);
  float* to = out.data<float>();
  for (const int64_t n : samples) to = std::copy_n(plain.data<float>() + n * size, size, to);
  return out.to(x.layout());
}

/// shortcut + open[n] * y[i] for the i-th of `samples`, n; the others stay.
Tensor added(const Tensor& shortcut,
             const Tensor& y,
             const std::vector<int64_t>& samples,
             const Tensor& open) {
  Tensor out = shortcut.to(Layout::Nchw).contiguous().clone();
  const Tensor plain = y.to(Layout::Nchw).contiguous();
  const int64_t size = out.numel() / out.size(0);
  const float* from = plain.data<float>();
  for (const int64_t n : samples) {
    float* to = out.data<float>() + n * size;
    const float factor = open.data<float>()[n];
    for (int64_t i = 0; i < size; ++i) to[i] += factor * from[i];
    from += size;
  }
  return out.to(shortcut.layout());
}

}  // namespace

std::string BlockGate::describe() const {
  return cat("BlockGate(", decision_->describe(), ")");
}

Variable BlockGate::add_branch(const Variable& x,
                               const Variable& shortcut,
                               const std::function<Variable(const Variable&)>& branch) {
  // As a call, by which traces know the decision.
  const Variable decided = (*this)(x);
  ESPALIER_CHECK((decided.shape() == Shape{x.size(0), 1}),
                 ShapeError,
                 "BlockGate: expects a decision ",
                 Shape{x.size(0), 1},
                 " for each sample, got ",
                 decided.shape());
  if (training() || !may_skip(x)) {
    return shortcut + branch(x) * reshape(to_layout(decided, Layout::Nchw), {x.size(0), 1, 1, 1});
  }
  const Tensor open = decided.value().to(Layout::Nchw).contiguous();
  std::vector<int64_t> samples;
  for (int64_t n = 0; n < open.numel(); ++n) {
    if (open.data<float>()[n] != 0.0F) samples.push_back(n);
  }
  if (samples.empty()) return shortcut;
  const Variable y = branch(Variable(samples_of(x.value(), samples)));
  return Variable(added(shortcut.value(), y.value(), samples, open));
}

PartKind block_gate_part() {
  return {.name = "blocks", .make = [](const PartPlace& place, const PartDescription& description) {
            ESPALIER_CHECK(place.site == nullptr,
                           ValueError,
                           "gates: ",
                           place.name,
                           " is no residual block; it can have no gate of blocks");
            return std::make_shared<BlockGate>(
                described_decision(description, "head", {.inputs = 0, .units = 1}));
          }};
}

}  // namespace espalier::nn
