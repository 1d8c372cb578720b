// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/scores/scale_free.h>

#include <map>

namespace espalier::prune {
namespace {

constexpr double kCancelled = 0.01;

/// Sum over units of (sum of terms)^2 <= kCancelled^2 * sum of term^2.
bool cancels(const Site& site, const std::map<const nn::Parameter*, Tensor>& terms) {
  std::vector<double> sums(static_cast<size_t>(site.units), 0.0);
  double squares = 0.0;
  for (const SitePart& part : site.parts) {
    if (!part.scored) continue;
    const double* term = terms.at(part.parameter).data<double>();
    for (int64_t i = 0; i < part.parameter->numel(); ++i) {
      const int64_t unit = part.units.unit(i);
      if (unit < 0) continue;
      sums[static_cast<size_t>(unit)] += term[i];
      squares += term[i] * term[i];
    }
  }
  double left = 0.0;
  for (const double sum : sums) left += sum * sum;
  return squares > 0.0 && left <= kCancelled * kCancelled * squares;
}

bool has_units_of_several_weights(const Site& site) {
  int64_t weights = 0;
  for (const SitePart& part : site.parts) {
    if (part.scored) weights += part.parameter->numel();
  }
  return site.units < weights;
}

}  // namespace

std::string ScaleFree::told() const {
  constexpr size_t kNamed = 3;
  std::string text = cat(sites.size(), " of ", of, of == 1 ? " layer (" : " layers (");
  for (size_t s = 0; s < std::min(sites.size(), kNamed); ++s) {
    text += (s == 0 ? "" : ", ") + sites[s];
  }
  return text + (sites.size() > kNamed ? ", ..)" : ")");
}

ScaleFree scale_free_sites(std::span<const Site> sites,
                           std::span<const nn::NamedParameter> weights,
                           std::span<const Tensor> terms) {
  std::map<const nn::Parameter*, Tensor> of;
  for (size_t w = 0; w < weights.size(); ++w) of[weights[w].parameter] = terms[w];
  ScaleFree result;
  for (const Site& site : sites) {
    if (!has_units_of_several_weights(site)) continue;
    ++result.of;
    if (cancels(site, of)) result.sites.push_back(site.name);
  }
  return result;
}

}  // namespace espalier::prune
