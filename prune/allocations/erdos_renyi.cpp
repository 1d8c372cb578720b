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
  explicit ErdosRenyiAllocation(ErdosRenyi kind) : kind_(kind) {}
  std::vector<int64_t> keep(std::span<const LayerView> layers, Sparsity target) const override {
    std::vector<Shape> shapes;
    for (const LayerView& layer : layers) shapes.push_back(layer.shape);
    std::vector<double> wanted = erdos_renyi_densities(shapes, target, kind_);
    for (size_t l = 0; l < layers.size(); ++l) wanted[l] *= static_cast<double>(layers[l].units);
    return apportion(wanted);
  }

 private:
  ErdosRenyi kind_;
};

}  // namespace

std::vector<double> erdos_renyi_densities(std::span<const Shape> shapes,
                                          Sparsity target,
                                          ErdosRenyi kind) {
  std::vector<double> raw;
  std::vector<bool> dense(shapes.size(), false);
  for (const Shape& shape : shapes) raw.push_back(raw_ratio(shape, kind));
  for (;;) {
    double budget = 0.0;  // weights to keep outside of the dense layers
    double divisor = 0.0;
    double highest = 0.0;
    for (size_t l = 0; l < shapes.size(); ++l) {
      const int64_t n = shapes[l].numel();
      const int64_t removed = guarded_floor(static_cast<double>(n) * target.value());
      if (dense[l]) {
        budget -= static_cast<double>(removed);
      } else {
        budget += static_cast<double>(n - removed);
        divisor += raw[l] * static_cast<double>(n);
        highest = std::max(highest, raw[l]);
      }
    }
    const double epsilon = divisor > 0.0 ? budget / divisor : 0.0;
    if (epsilon * highest <= 1.0) {
      std::vector<double> densities;
      for (size_t l = 0; l < shapes.size(); ++l) {
        densities.push_back(dense[l] ? 1.0 : epsilon * raw[l]);
      }
      return densities;
    }
    for (size_t l = 0; l < shapes.size(); ++l) {
      if (!dense[l] && raw[l] == highest) dense[l] = true;
    }
  }
}

std::unique_ptr<Allocation> erdos_renyi_allocation(ErdosRenyi kind) {
  return std::make_unique<ErdosRenyiAllocation>(kind);
}

}  // namespace espalier::prune
