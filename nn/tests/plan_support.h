// SPDX-License-Identifier: Apache-2.0
/// What the tests of inference plans share: networks as they are after training and pruning.
#pragma once

#include <espalier/nn/tests/support.h>

namespace espalier::nn {

/// Statistics and scales that batch norm would have after training, so that folding them matters.
inline void disturb_batch_norms(Module& model) {
  for (const NamedModule& part : model.named_modules()) {
    auto* norm = dynamic_cast<BatchNorm*>(part.module);
    if (norm == nullptr) continue;
    Rng rng(3, part.name);
    fill_uniform_(norm->running_mean, rng, -0.2, 0.2);
    fill_uniform_(norm->running_var, rng, 0.5, 1.5);
    fill_uniform_(norm->weight.value.value(), rng, 0.7, 1.3);
    fill_uniform_(norm->bias.value.value(), rng, -0.2, 0.2);
  }
}

/// Removes about `sparsity` of every weight of more than one dimension.
inline void mask_randomly(Module& model, double sparsity) {
  for (const NamedParameter& p : model.named_parameters()) {
    if (p.parameter->shape().rank() < 2) continue;
    const Tensor random = random_tensor(p.parameter->shape(), 11);
    std::vector<uint8_t> keep;
    for (const double value : values(random)) keep.push_back(value > 2.0 * sparsity - 1.0);
    p.parameter->set_mask(Tensor::from(p.parameter->shape(), keep));
  }
}

}  // namespace espalier::nn
