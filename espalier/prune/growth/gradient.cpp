// SPDX-License-Identifier: Apache-2.0
/// Growth by gradient: |G|, G = dL/d(m*w) of the training step's own batch, at removed places
/// too.
#include <cmath>

#include <espalier/prune/growth/growth.h>

namespace espalier::prune {
namespace {

class GradientGrowth : public Growth {
 public:
  explicit GradientGrowth(JustDropped dropped) : dropped_(dropped) {}
  ScoreNeeds needs() const override { return ScoreNeeds::Gradients; }
  bool may_grow_dropped() const override { return dropped_ == JustDropped::MayReturn; }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> growth;
    for (const nn::NamedParameter& weight : context.weights) {
      const Variable& gradient = weight.parameter->value.grad();
      if (!gradient.defined()) {  // the loss does not depend on it
        growth.push_back(Tensor::zeros(weight.parameter->shape(), DType::F64));
        continue;
      }
      growth.push_back(as_double(gradient.value()));
      double* g = growth.back().data<double>();
      for (int64_t i = 0; i < growth.back().numel(); ++i) g[i] = std::abs(g[i]);
    }
    return growth;
  }

 private:
  JustDropped dropped_;
};

}  // namespace

std::unique_ptr<Growth> gradient_growth(JustDropped dropped) {
  return std::make_unique<GradientGrowth>(dropped);
}

}  // namespace espalier::prune
