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

/// Keeps the weight at position `i` of the `filter` of output channel `k` where `keeps` says so,
/// with a random number for every weight. `area` neighbours belong to one input channel.
template <class Keeps>
void mask_by(Module& model, Keeps keeps) {
  for (const NamedParameter& p : model.named_parameters()) {
    const Shape& shape = p.parameter->shape();
    if (shape.rank() < 2) continue;
    const std::vector<double> chance = values(random_tensor(shape, 11));
    const int64_t filter = shape.numel() / shape[0];
    std::vector<uint8_t> keep;
    for (int64_t at = 0; at < shape.numel(); ++at) {
      keep.push_back(keeps(chance, at / filter, at % filter, filter, filter / shape[1]));
    }
    p.parameter->set_mask(Tensor::from(shape, keep));
  }
}

/// Removes about `sparsity` of every weight of more than one dimension.
inline void mask_randomly(Module& model, double sparsity) {
  mask_by(model, [&](const auto& chance, int64_t k, int64_t i, int64_t filter, int64_t) {
    return chance[static_cast<size_t>(k * filter + i)] > 2.0 * sparsity - 1.0;
  });
}

/// Keeps 1 - `sparsity` of all blocks of four output channels, or 2 of 4 input channels that
/// `sharing` output channels choose together.
inline void mask_in_blocks(Module& model, double sparsity) {
  mask_by(model, [&](const auto& chance, int64_t k, int64_t i, int64_t filter, int64_t) {
    return chance[static_cast<size_t>(k / 4 * 4 * filter + i)] > 2.0 * sparsity - 1.0;
  });
}
inline void mask_two_of_four(Module& model, int64_t sharing) {
  mask_by(model, [&](const auto& chance, int64_t k, int64_t i, int64_t filter, int64_t area) {
    const auto at = [&](int64_t of) {
      return chance[static_cast<size_t>(k / sharing * sharing * filter + of)];
    };
    const int64_t cell = i / area / 4 * 4;
    int larger = 0;
    for (int64_t c = cell; c < cell + 4 && c * area < filter; ++c) {
      larger += at(c * area + i % area) > at(i);
    }
    return larger < 2;
  });
}

}  // namespace espalier::nn
