// SPDX-License-Identifier: Apache-2.0
/// Uniform allocation: the same sparsity everywhere, exact in every layer.
#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

class UniformAllocation : public Allocation {
 public:
  explicit UniformAllocation(FirstLayer first) : first_(first) {}
  std::vector<int64_t> keep(std::span<const LayerView> layers, Sparsity target) const override {
    std::vector<int64_t> kept;
    for (const LayerView& layer : layers) kept.push_back(kept_count(layer.units, target));
    if (first_ == FirstLayer::Dense && !layers.empty()) kept.front() = layers.front().units;
    return kept;
  }

 private:
  FirstLayer first_;
};

}  // namespace

std::unique_ptr<Allocation> uniform_allocation(FirstLayer first) {
  return std::make_unique<UniformAllocation>(first);
}

}  // namespace espalier::prune
