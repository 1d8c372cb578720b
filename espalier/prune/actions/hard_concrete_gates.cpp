// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/hard_concrete.h>
#include <espalier/prune/actions/train_under_forms.h>
#include <espalier/prune/sites/unit_gates.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {

void put_hard_concrete(const Subject& subject, double drop_rate) {
  using Grain = nn::HardConcrete::Grain;
  const MaskUpdate places(subject.model, subject.pattern, subject.settings, subject.inputs, {});
  const GateBanks banks = gate_banks(places.sites());
  std::vector<std::shared_ptr<nn::HardConcrete>> first(banks.sizes.size());
  for (const GatedWeight& one : banks.weights) {
    const auto form = std::make_shared<nn::HardConcrete>(
        one.parameter->shape(),
        nn::HardConcrete::Options{.grain = one.dim < 0    ? Grain::Weights
                                           : one.dim == 0 ? Grain::Outputs
                                                          : Grain::Inputs,
                                  .gate_of = one.gate_of,
                                  .gates = one.dim < 0 ? 0 : banks.sizes[one.bank],
                                  .drop_rate = drop_rate,
                                  .seed = subject.inputs.seed,
                                  .number = static_cast<int64_t>(one.bank)});
    if (first[one.bank]) {
      form->share(*first[one.bank]);
    } else {
      first[one.bank] = form;
    }
    nn::put_form(subject.model, one.name, form);
  }
}

double training_samples(const nn::TrainState& state) {
  ESPALIER_CHECK(state.loader != nullptr,
                 ValueError,
                 "prune: needs the loader of the training, for the size of its data set");
  return static_cast<double>(state.loader->dataset().size());
}

}  // namespace espalier::prune
