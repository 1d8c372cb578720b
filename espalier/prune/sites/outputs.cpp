// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/sites/outputs.h>

#include <algorithm>
#include <set>

#include <espalier/prune/ground/select.h>

namespace espalier::prune {
namespace {

/// Rows (dimension 0) of a site's weight that are all in one unit, which has other weights too or
/// not: one weight alone is no structure.
std::vector<uint8_t> rows_in_one_unit(const Site& site) {
  const SitePart& part = site.parts.front();
  const int64_t numel = part.parameter->numel();
  std::vector<uint8_t> rows(static_cast<size_t>(part.parameter->shape()[0]), 0);
  if (part.units.count == numel || site.cell.size > 0) return rows;
  const int64_t inner = numel / static_cast<int64_t>(rows.size());
  for (size_t r = 0; r < rows.size(); ++r) {
    const int64_t first = static_cast<int64_t>(r) * inner;
    bool same = true;
    for (int64_t i = 1; i < inner && same; ++i) {
      same = part.units.unit(first + i) == part.units.unit(first);
    }
    rows[r] = same ? 1 : 0;
  }
  return rows;
}

/// The units of every marked row, each list once.
std::vector<std::vector<int32_t>> units_of_rows(const Site& site,
                                                const std::vector<uint8_t>& rows) {
  const SitePart& part = site.parts.front();
  const int64_t inner = part.parameter->numel() / static_cast<int64_t>(rows.size());
  std::vector<std::vector<int32_t>> lists;
  std::set<std::vector<int32_t>> seen;
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r] == 0) continue;
    std::vector<int32_t> units;
    for (int64_t i = 0; i < inner; ++i) {
      units.push_back(static_cast<int32_t>(part.units.unit(static_cast<int64_t>(r) * inner + i)));
    }
    std::sort(units.begin(), units.end());
    units.erase(std::unique(units.begin(), units.end()), units.end());
    if (seen.insert(units).second) lists.push_back(std::move(units));
  }
  return lists;
}

}  // namespace

void keep_outputs(const FlowGraph* graph,
                  std::vector<Site>& sites,
                  std::vector<std::string>& notes) {
  std::map<const nn::Parameter*, std::vector<uint8_t>> outputs;
  if (graph != nullptr) outputs = graph->output_rows();
  std::erase_if(sites, [&](Site& site) {
    if (!site.structured) return false;
    ESPALIER_CHECK(graph != nullptr,
                   ValueError,
                   "prune: whether units of ",
                   site.name,
                   " are all that makes an output of the network shows a run on one sample, whose "
                   "shape nobody tells. Set PruneInputs::input_shape, or prune inside of fit()");
    const auto found = outputs.find(site.parts.front().parameter);
    if (found == outputs.end()) return false;
    const std::vector<uint8_t> rows = rows_in_one_unit(site);
    bool any = false;
    for (size_t r = 0; r < rows.size(); ++r) any = any || (rows[r] & found->second[r]) != 0;
    if (any) notes.push_back(cat(site.name, " keeps its rows: they are the network's outputs"));
    if (!any) site.outputs = units_of_rows(site, found->second);
    return any;
  });
  ESPALIER_CHECK(!sites.empty(),
                 ValueError,
                 "prune: no layer is left to prune: the rows of all that can have the pattern are "
                 "outputs of the network");
}

std::vector<uint8_t> units_of_outputs(const Site& site,
                                      std::span<const double> scores,
                                      std::span<const uint8_t> candidates) {
  if (site.outputs.empty()) return {};
  std::vector<uint8_t> chosen(static_cast<size_t>(site.units), 0);
  for (const std::vector<int32_t>& units : site.outputs) {
    int32_t best = -1;
    bool served = false;
    for (const int32_t unit : units) {
      const auto u = static_cast<size_t>(unit);
      served = served || chosen[u] != 0;
      if (candidates[u] == 0) continue;
      if (best < 0 || scores[u] > scores[static_cast<size_t>(best)]) best = unit;
    }
    if (!served && best >= 0) chosen[static_cast<size_t>(best)] = 1;
  }
  return chosen;
}

std::vector<uint8_t> with_outputs(const Site& site,
                                  const std::vector<uint8_t>& chosen,
                                  std::span<const uint8_t> candidates,
                                  Rng rng) {
  if (site.outputs.empty()) return chosen;
  std::vector<double> order;  // those that are chosen before all others, each group at random
  for (const uint8_t flag : chosen) order.push_back(static_cast<double>(flag) + rng.uniform64());
  const int64_t count = std::count(chosen.begin(), chosen.end(), uint8_t{1});
  return top_k(order, candidates, count, units_of_outputs(site, order, candidates));
}

}  // namespace espalier::prune
