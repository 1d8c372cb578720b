// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/unit_factors.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {

void put_factors(const Subject& subject,
                 int64_t memories,
                 const std::function<void(nn::Factors&, const GateBanks&, size_t bank)>& begin) {
  using Grain = nn::Spread::Grain;
  const MaskUpdate places(subject.model, subject.pattern, subject.settings, subject.inputs, {});
  const GateBanks banks = gate_banks(places.sites());
  std::vector<std::shared_ptr<nn::Factors>> first(banks.sizes.size());
  for (const GatedWeight& one : banks.weights) {
    const auto form = std::make_shared<nn::Factors>(
        one.parameter->shape(),
        nn::Factors::Options{.spread = {.grain = one.dim < 0    ? Grain::Weights
                                                 : one.dim == 0 ? Grain::Outputs
                                                                : Grain::Inputs,
                                        .number_of = one.gate_of,
                                        .count = one.dim < 0 ? 0 : banks.sizes[one.bank]},
                             .memories = memories});
    if (first[one.bank]) {
      form->share(*first[one.bank]);
    } else {
      first[one.bank] = form;
      if (begin) begin(*form, banks, one.bank);
    }
    nn::put_form(subject.model, one.name, form);
  }
}

nn::Factors* first_factors(nn::Form& form) {
  auto& factors = dynamic_cast<nn::Factors&>(form);
  return factors.is_first() ? &factors : nullptr;
}

std::vector<double> gradient_of(const nn::Factors& factors) {
  const Variable& gradient = factors.factors.value.grad();
  if (!gradient.defined()) {
    return std::vector<double>(static_cast<size_t>(factors.factors.numel()), 0.0);
  }
  return gradient.value().to_vector<double>();
}

void assign(Tensor& to, const std::vector<double>& numbers) {
  to.copy_(Tensor::from(to.shape(), numbers).to(to.dtype()));
}

std::unique_ptr<Score> factor_score(std::shared_ptr<const FormsByWeight> forms, OfFactors counts) {
  return form_score(std::move(forms), [counts](const nn::Form& form, const Shape& weight) {
    const Tensor value = dynamic_cast<const nn::Factors&>(form).of_entries(weight);
    return counts == OfFactors::Value ? value : abs(Variable(value)).value();
  });
}

}  // namespace espalier::prune
