// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/sites/unit_gates.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace espalier::prune {
namespace {

/// The first site with which each shares a weight, directly or through others.
std::vector<size_t> roots(std::span<const Site> sites) {
  std::vector<size_t> root(sites.size());
  std::iota(root.begin(), root.end(), size_t{0});
  std::map<const nn::Parameter*, size_t> reader;
  for (size_t s = 0; s < sites.size(); ++s) {
    for (const SitePart& part : sites[s].parts) {
      if (!is_gated(sites[s], part)) continue;
      const size_t first = root[reader.try_emplace(part.parameter, s).first->second];
      const size_t own = root[s];
      std::ranges::replace(root, std::max(first, own), std::min(first, own));
    }
  }
  return root;
}

int64_t entries_of_an_index(const Shape& shape, int dim) {
  int64_t entries = 1;
  for (int d = dim + 1; d < shape.rank(); ++d) entries *= shape[d];
  return entries;
}

/// Writes the gates of a part into the weight's list. The entries of an index must have one unit.
void add(const SitePart& part, int64_t offset, GatedWeight& weight) {
  const Shape& shape = part.parameter->shape();
  const int64_t inner = entries_of_an_index(shape, weight.dim);
  std::vector<int64_t> unit_of(weight.gate_of.size());
  for (size_t j = 0; j < unit_of.size(); ++j) {
    unit_of[j] = part.units.unit(static_cast<int64_t>(j) * inner);
    if (unit_of[j] >= 0) weight.gate_of[j] = offset + unit_of[j];
  }
  for (int64_t i = 0; i < shape.numel(); ++i) {
    ESPALIER_CHECK(
        part.units.unit(i) == unit_of[static_cast<size_t>(i / inner % shape[weight.dim])],
        NotImplemented,
        "prune: gates on units of ",
        part.name,
        " that are not whole outputs or inputs");
  }
}

}  // namespace

bool is_gated(const Site& site, const SitePart& part) {
  const bool channels = site.parts.size() > 1;
  return part.parameter->shape().rank() >= 2 &&
         (channels ? part.role == SliceRole::Consumer : part.scored);
}

GateBanks gate_banks(std::span<const Site> sites) {
  GateBanks out;
  const std::vector<size_t> root = roots(sites);
  std::map<size_t, size_t> bank_of;  // by root
  std::map<const nn::Parameter*, size_t> place;
  for (size_t s = 0; s < sites.size(); ++s) {
    const size_t bank = bank_of.try_emplace(root[s], out.sizes.size()).first->second;
    if (bank == out.sizes.size()) {
      out.sizes.push_back(0);
      out.sites.emplace_back();
    }
    out.sites[bank].push_back(sites[s].name);
    const int64_t offset = out.sizes[bank];
    out.sizes[bank] += sites[s].units;
    for (const SitePart& part : sites[s].parts) {
      if (!is_gated(sites[s], part)) continue;
      const auto [at, fresh] = place.try_emplace(part.parameter, out.weights.size());
      if (fresh) {
        const bool single = part.units.of_weight.empty();
        GatedWeight weight{part.name, part.parameter, bank, single ? -1 : part.dim};
        if (!single) {
          weight.gate_of.assign(static_cast<size_t>(part.parameter->shape()[part.dim]), -1);
        }
        out.weights.push_back(std::move(weight));
      }
      GatedWeight& weight = out.weights[at->second];
      if (weight.dim >= 0) add(part, offset, weight);
    }
  }
  return out;
}

}  // namespace espalier::prune
