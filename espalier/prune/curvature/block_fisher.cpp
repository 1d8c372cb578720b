// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/block_fisher.h>

namespace espalier::prune {

void FisherBlocks::find(const nn::Module& model,
                        std::span<const nn::NamedParameter> weights,
                        const PruneInputs& inputs,
                        std::vector<std::string>* notes) {
  const int64_t count = gradient_count(inputs, options_.data);
  if (count < options_.data.gradients && notes != nullptr) {
    notes->push_back(cat("asked for a Fisher matrix of ",
                         options_.data.gradients,
                         " gradients; the samples gave ",
                         count));
  }
  found_.clear();
  std::vector<InverseFisher*> order;
  for (const nn::NamedParameter& weight : weights) {
    order.push_back(
        &found_
             .try_emplace(
                 weight.name, weight.parameter->numel(), options_.block, options_.damping, count)
             .first->second);
  }
  visit_sample_gradients(
      model, weights, inputs, options_.data, [&](std::span<const Tensor> gradients) {
        for (size_t w = 0; w < order.size(); ++w) {
          order[w]->add({gradients[w].data<double>(), static_cast<size_t>(gradients[w].numel())});
        }
      });
}

const InverseFisher& FisherBlocks::of(const std::string& weight) const {
  const auto found = found_.find(weight);
  ESPALIER_CHECK(found != found_.end(),
                 ValueError,
                 "Fisher matrix: ",
                 weight,
                 " has none; it is found by the score of the same update");
  return found->second;
}

}  // namespace espalier::prune
