// SPDX-License-Identifier: Apache-2.0
/// Uniform allocation: the same sparsity everywhere, exact in every layer.
#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

class UniformAllocation : public Allocation {
 public:
  std::string name() const override {
    return first_ == FirstLayer::Dense ? "uniform-dense-first" : "uniform";
  }
  explicit UniformAllocation(FirstLayer first) : first_(first) {}
  SparsityOf sparsity_of(bool channels) const override {
    return channels ? SparsityOf::Channels : SparsityOf::Weights;
  }
  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity target) const override {
    std::vector<int64_t> kept;
    for (const SiteScores& layer : layers) kept.push_back(kept_count(layer.units, target));
    if (first_ == FirstLayer::Dense && !layers.empty()) kept.front() = layers.front().units;
    return kept;
  }

 private:
  FirstLayer first_;
};

class UniformFloorAllocation : public Allocation {
 public:
  std::string name() const override { return "uniform"; }
  SparsityOf sparsity_of(bool channels) const override {
    return channels ? SparsityOf::Channels : SparsityOf::Weights;
  }
  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity target) const override {
    std::vector<int64_t> kept;
    for (const SiteScores& layer : layers) {
      kept.push_back(layer.units -
                     guarded_floor(target.value() * static_cast<double>(layer.units)));
    }
    return kept;
  }
};

}  // namespace

std::unique_ptr<Allocation> uniform_allocation(FirstLayer first) {
  return std::make_unique<UniformAllocation>(first);
}

std::unique_ptr<Allocation> uniform_floor_allocation() {
  return std::make_unique<UniformFloorAllocation>();
}

}  // namespace espalier::prune
