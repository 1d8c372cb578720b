// SPDX-License-Identifier: Apache-2.0
/// What the tests of forms share: numbers set and counted, and forms of every kind for a weight.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include <espalier/nn/forms/hard_concrete.h>
#include <espalier/nn/forms/straight_through.h>
#include <espalier/nn/forms/supermask.h>
#include <espalier/nn/forms/top_kast.h>
#include <espalier/nn/tests/support.h>

namespace espalier::nn {

/// Sets a parameter to these numbers, in the order of its elements.
inline void set(Parameter& parameter, const std::vector<float>& numbers) {
  parameter.value.value().copy_(Tensor::from<float>(parameter.shape(), numbers));
}

/// Elements that are not 0.
inline int64_t nonzero(const Tensor& tensor) {
  const std::vector<double> numbers = values(tensor);
  return std::ranges::count_if(numbers, [](double x) { return x != 0.0; });
}

/// Every form for a weight, at about a third of its weights.
inline std::vector<std::shared_ptr<Form>> forms_for(const Shape& shape) {
  std::vector<std::shared_ptr<Form>> out = {
      std::make_shared<Supermask>(shape, shape.numel() / 3),
      std::make_shared<StraightThrough>(
          shape, StraightThrough::Options{.pattern = {.keep = 1, .of = 2}, .decay = 0.0}),
      std::make_shared<TopKast>(
          shape, TopKast::Counts{.forward = shape.numel() / 3, .backward = shape.numel() / 2})};
  for (const auto grain : {HardConcrete::Grain::Weights, HardConcrete::Grain::Inputs}) {
    auto form = std::make_shared<HardConcrete>(shape, HardConcrete::Options{.grain = grain});
    Rng rng(4, "gates");
    fill_normal_(form->log_alpha.value.value(), rng, -2.5, 2.0);
    out.push_back(form);
  }
  return out;
}

/// Forward the k largest, gradients for the next m too: as Top-KAST.
class WiderBackward : public Form {
 public:
  WiderBackward(int64_t forward, int64_t backward) : forward_(forward), backward_(backward) {}
  void visit(MemberVisitor&) override {}
  std::string describe() const override { return "WiderBackward"; }
  std::string kind() const override { return "wider-backward"; }
  std::map<std::string, double> settings() const override {
    return {{"forward", static_cast<double>(forward_)},
            {"backward", static_cast<double>(backward_)}};
  }
  Effective effective(const Parameter& weight) override {
    const Tensor& w = weight.value.value();
    const Tensor mask = largest_mask(w, forward_);
    return {mask_ste(weight.value, mask),
            {.support = first_(mask), .gradient = second_(largest_mask(w, backward_))}};
  }

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<WiderBackward>(*this);
  }

 private:
  int64_t forward_, backward_;
  SupportOf first_, second_;
};

}  // namespace espalier::nn
