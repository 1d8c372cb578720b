// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/supermask.h>

#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/forms/select.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

Supermask::Supermask(const Shape& weight, int64_t kept) : scores(Tensor::empty(weight)) {
  keep(kept);
  Supermask::reset_parameters(default_init_rng);
}

void Supermask::visit(MemberVisitor& visitor) {
  visitor.parameter("scores", scores);
}

std::string Supermask::describe() const {
  return cat("Supermask(", kept_, " of ", scores.numel(), ")");
}

void Supermask::reset_parameters(const InitRng& rng) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(init::fans(scores.shape()).in));
  init::uniform(scores, rng("scores"), -bound, bound);
}

std::map<std::string, double> Supermask::settings() const {
  return {{"kept", static_cast<double>(kept_)}};
}

void Supermask::keep(int64_t weights) {
  ESPALIER_CHECK(weights >= 0 && weights <= scores.numel(),
                 ValueError,
                 "Supermask: expects to keep 0 .. ",
                 scores.numel(),
                 " weights, got ",
                 weights);
  kept_ = weights;
}

Effective Supermask::effective(const Parameter& weight) {
  const Tensor mask = largest_mask(scores.value.value(), kept_, weight.mask());
  const Variable size = abs(scores.value);
  // Exactly 0 or 1, with the gradient of |s|.
  const Variable open = size - size.detach() + Variable(mask.to(size.dtype()));
  return {weight.value.detach() * open, {pattern_(mask), sparse::GradRequest::Dense}};
}

PartKind supermask_part() {
  return {.name = "supermask",
          .make = [](const PartPlace& place, const PartDescription& description) {
            ESPALIER_CHECK(place.site, ValueError, "forms: supermask: ", place.name, " is a block");
            const Parameter& weight = *place.site->slot.parameter;
            return std::make_shared<Supermask>(weight.shape(),
                                               description.whole("kept", 0, weight.numel()));
          }};
}

}  // namespace espalier::nn
