// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/factors.h>

#include <limits>

#include <espalier/autograd/ops.h>

namespace espalier::nn {

Factors::Factors(const Shape& weight, const Options& options)
    : options_(options), spread_(weight, options.spread) {
  factors = Parameter(Tensor::full(spread_.numbers(), 1.0));
  factors.decays = options.decay;
  for (int64_t i = 0; i < options.memories; ++i) {
    memories.push_back(Tensor::zeros(spread_.numbers()));
  }
}

void Factors::visit(MemberVisitor& visitor) {
  visitor.parameter("factors", factors);
  for (size_t i = 0; i < memories.size(); ++i) visitor.buffer(cat("memory", i), memories[i]);
  spread_.visit(visitor);
}

std::string Factors::describe() const {
  return cat("Factors(", factors.numel(), ")");
}

void Factors::reset_parameters(const InitRng&) {
  factors.value.value().fill_(1.0);
}

std::map<std::string, double> Factors::settings() const {
  std::map<std::string, double> out = spread_.settings();
  out["memories"] = static_cast<double>(options_.memories);
  out["decay"] = options_.decay ? 1.0 : 0.0;
  return out;
}

void Factors::share(Attached& first) {
  auto* other = dynamic_cast<Factors*>(&first);
  ESPALIER_CHECK(other != nullptr && other->factors.shape() == factors.shape() &&
                     other->memories.size() == memories.size(),
                 ValueError,
                 "Factors: ",
                 factors.numel(),
                 " factors can't be those of ",
                 first.describe());
  factors = other->factors;
  memories = other->memories;
  first_ = false;
}

Tensor Factors::of_entries(const Shape& weight) const {
  return spread_.over(weight, factors.value.value(), std::numeric_limits<double>::infinity());
}

Effective Factors::effective(const Parameter& weight) {
  const Variable f = spread_(factors.value, 1.0);
  const Tensor mask = Spread::open_mask(f.value(), weight);
  // A factor of zero may grow again; what is masked for good may not.
  const auto wanted = weight.masked() ? sparse::GradRequest::Masked : sparse::GradRequest::Dense;
  return {weight.value * f, {pattern_(mask), wanted}};
}

PartKind factors_part() {
  return {.name = "factors",
          .make = [](const PartPlace& place, const PartDescription& description) {
            const Factors::Options options{.spread = Spread::described(place, description),
                                           .memories = description.whole("memories", 0, 4),
                                           .decay = description.whole("decay", 0, 1) == 1};
            return std::make_shared<Factors>(place.site->slot.parameter->shape(), options);
          }};
}

}  // namespace espalier::nn
