// SPDX-License-Identifier: Apache-2.0
/// Erdos-Renyi allocations: small layers stay denser, d_l = eps * sum(sizes) / prod(sizes), at
/// most 1.
#include <algorithm>

#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

double raw_ratio(const Shape& shape, ErdosRenyi kind) {
  double sum = 0.0;
  double product = 1.0;
  for (int d = 0; d < (kind == ErdosRenyi::Channels ? 2 : shape.rank()); ++d) {
    sum += static_cast<double>(shape[d]);
    product *= static_cast<double>(shape[d]);
  }
  return sum / product;
}

class ErdosRenyiAllocation : public Allocation {
 public:
  std::string name() const override { return kind_ == ErdosRenyi::Kernel ? "erk" : "er"; }
  explicit ErdosRenyiAllocation(ErdosRenyi kind) : kind_(kind) {}
  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity target) const override {
    std::vector<double> parts;
    std::vector<double> least;
    std::vector<double> most;
    int64_t units = 0;
    for (const SiteScores& layer : layers) {
      units += layer.units;
      most.push_back(static_cast<double>(layer.units));
      least.push_back(static_cast<double>(std::min(layer.at_least, layer.units)));
      parts.push_back(raw_ratio(layer.shape, kind_) * most.back());
    }
    const auto total = static_cast<double>(kept_count(units, target));
    return apportion(share_within(parts, least, most, total));
  }

 private:
  ErdosRenyi kind_;
};

}  // namespace

std::vector<double> erdos_renyi_densities(std::span<const Shape> shapes,
                                          Sparsity target,
                                          ErdosRenyi kind) {
  std::vector<double> parts;
  std::vector<double> sizes;
  double weights = 0.0;
  for (const Shape& shape : shapes) {
    sizes.push_back(static_cast<double>(shape.numel()));
    parts.push_back(raw_ratio(shape, kind) * sizes.back());
    weights += sizes.back();
  }
  const std::vector<double> least(sizes.size(), 0.0);
  std::vector<double> out = share_within(parts, least, sizes, target.density().value() * weights);
  for (size_t l = 0; l < out.size(); ++l) out[l] /= sizes[l];
  return out;
}

std::unique_ptr<Allocation> erdos_renyi_allocation(ErdosRenyi kind) {
  return std::make_unique<ErdosRenyiAllocation>(kind);
}

}  // namespace espalier::prune
