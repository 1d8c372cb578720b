// SPDX-License-Identifier: Apache-2.0
/// Smart ratios: layer densities set by depth alone, decreasing from the input to the output.
///
/// Source: Su et al., arXiv 2009.11094, and the published code: convolution l of L layers (linear
/// ones counted) keeps in proportion to k^2 + k with k = L - l + 1, or that over l^2 for plain
/// networks; linear layers keep a fixed fraction.
#include <algorithm>
#include <cmath>

#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

double raw_ratio(SmartRatioRule rule, int64_t layer, int64_t layers) {
  const auto l = static_cast<double>(layer);
  const auto k = static_cast<double>(layers - layer + 1);
  switch (rule) {
    case SmartRatioRule::Residual:
      return k * k + k;
    case SmartRatioRule::Plain:
      return (k * k + k) / (l * l);
    case SmartRatioRule::Linear:
      return k;
    case SmartRatioRule::Cubic:
      return k * k * k;
    case SmartRatioRule::Ascending:
      return l * l + l;
    case SmartRatioRule::Uniform:
      return 1.0;
  }
  throw ValueError("smart ratio: unknown rule");
}

/// Shares `budget` weights out in proportion to raw * size. What does not fit into a layer goes to
/// the next one, and what the last can't take to the first that has room.
void share_out(const std::vector<size_t>& layers,
               const std::vector<double>& raw,
               const std::vector<double>& sizes,
               double budget,
               std::vector<double>& densities) {
  double scale = 0.0;
  for (size_t l : layers) scale += raw[l] * sizes[l];
  if (scale == 0.0) return;
  double surplus = 0.0;
  for (size_t l : layers) {
    const double wanted = budget * raw[l] * sizes[l] / scale + surplus;
    const double kept = std::min(wanted, sizes[l]);
    surplus = wanted - kept;
    densities[l] = kept / sizes[l];
  }
  for (size_t l : layers) {
    const double taken = std::min(surplus, (1.0 - densities[l]) * sizes[l]);
    surplus -= taken;
    densities[l] += taken / sizes[l];
  }
}

class SmartRatioAllocation : public Allocation {
 public:
  std::string name() const override { return "smart-ratio"; }
  explicit SmartRatioAllocation(const SmartRatioOptions& options) : options_(options) {}
  /// Linear layers keep their share, whatever the convolutions lose.
  Sparsity most(std::span<const SiteScores> layers) const override {
    double weights = 0.0;
    double of_linears = 0.0;
    for (const SiteScores& layer : layers) {
      const auto size = static_cast<double>(layer.shape.numel());
      weights += size;
      if (layer.shape.rank() == 2) of_linears += size;
    }
    if (weights == 0.0 || of_linears == weights) return Sparsity(1.0);
    const double stays = std::ceil(options_.linear_density.value() * of_linears);
    return Sparsity(std::max(0.0, 1.0 - stays / weights));
  }
  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity target) const override {
    std::vector<Shape> shapes;
    for (const SiteScores& layer : layers) shapes.push_back(layer.shape);
    std::vector<double> wanted = smart_ratio_densities(shapes, target, options_);
    std::vector<double> least;
    std::vector<double> most;
    double total = 0.0;
    for (size_t l = 0; l < layers.size(); ++l) {
      most.push_back(static_cast<double>(layers[l].units));
      least.push_back(static_cast<double>(std::min(layers[l].at_least, layers[l].units)));
      wanted[l] *= most.back();
      total += wanted[l];
    }
    return apportion(share_within(wanted, least, most, total));
  }

 private:
  SmartRatioOptions options_;
};

}  // namespace

std::vector<double> smart_ratio_densities(std::span<const Shape> shapes,
                                          Sparsity target,
                                          const SmartRatioOptions& options) {
  const auto count = static_cast<int64_t>(shapes.size());
  std::vector<size_t> convolutions;
  std::vector<size_t> linears;
  std::vector<double> raw;
  std::vector<double> sizes;
  int64_t weights = 0;
  double of_linears = 0.0;
  for (int64_t l = 0; l < count; ++l) {
    const auto at = static_cast<size_t>(l);
    const bool linear = shapes[at].rank() == 2;
    sizes.push_back(static_cast<double>(shapes[at].numel()));
    raw.push_back(linear ? 1.0 : raw_ratio(options.rule, l + 1, count));
    weights += shapes[at].numel();
    (linear ? linears : convolutions).push_back(at);
    if (linear) of_linears += sizes.back();
  }
  const auto budget = static_cast<double>(kept_count(weights, target));
  const double of_convolutions = static_cast<double>(weights) - of_linears;
  // Without convolutions, or with more to keep than they hold, the linear layers take the rest.
  const double fixed =
      std::max(options.linear_density.value() * of_linears, budget - of_convolutions);
  ESPALIER_CHECK(convolutions.empty() || fixed <= budget,
                 ValueError,
                 "smart ratio: linear layers keep ",
                 options.linear_density.value(),
                 " of their ",
                 of_linears,
                 " weights, which is more than the ",
                 budget,
                 " of the whole budget. Choose a smaller linear-density, or prune less.");
  std::vector<double> densities(shapes.size(), 0.0);
  const double linear_budget = convolutions.empty() ? budget : fixed;
  share_out(linears, raw, sizes, linear_budget, densities);
  share_out(convolutions, raw, sizes, budget - linear_budget, densities);
  return densities;
}

std::unique_ptr<Allocation> smart_ratio_allocation(const SmartRatioOptions& options) {
  return std::make_unique<SmartRatioAllocation>(options);
}

}  // namespace espalier::prune
