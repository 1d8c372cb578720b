// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/collapse.h>

#include <algorithm>

#include <espalier/prune/structure/channel_graph.h>

namespace espalier::prune {
namespace {

constexpr size_t kMostNames = 8;

std::string list(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kMostNames); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kMostNames) text += cat(" and ", names.size() - kMostNames, " more");
  return text;
}

std::string list(const std::vector<int64_t>& numbers) {
  std::vector<std::string> names;
  for (const int64_t number : numbers) names.push_back(std::to_string(number));
  return list(names);
}

/// Throws, or notes if that is allowed. `state` is what would be.
void collapsed(const std::string& state, const PruneSettings& settings, UpdateReport& report) {
  ESPALIER_CHECK(
      settings.allow_collapse,
      ValueError,
      "prune: at sparsity ",
      report.target.value(),
      " ",
      state,
      " (layer collapse), so the network could not learn. Prune less, protect layers with "
      "min-per-layer, choose another allocation (erk), or set allow-collapse.");
  report.notes.push_back("collapsed: " + state);
}

void check_layers(const PruneSettings& settings, UpdateReport& report) {
  std::vector<std::string> empty;
  for (const LayerReport& layer : report.layers) {
    if (layer.kept == 0) empty.push_back(layer.name);
  }
  if (!empty.empty()) collapsed("nothing is left of " + list(empty), settings, report);
}

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

}  // namespace

std::shared_ptr<const FlowGraph> flow_of(nn::Module& model, const PruneInputs& inputs) {
  if (inputs.input_shape.rank() > 0) {
    return std::make_shared<const FlowGraph>(
        trace_flow(model, normal_sample(model, inputs.input_shape)));
  }
  if (!inputs.batch) return nullptr;
  const Tensor first = inputs.batch(0).images.to(Layout::Nchw).slice(0, 0, 1).contiguous();
  return std::make_shared<const FlowGraph>(trace_flow(model, Variable(first)));
}

void check_collapse(const FlowGraph* graph,
                    const MaskOf& mask,
                    const PruneSettings& settings,
                    UpdateReport& report) {
  if (graph == nullptr || !graph->connected()) {
    check_layers(settings, report);
    return;
  }
  const Flow flow = graph->flow(mask);
  if (flow.cut) {
    collapsed(cat("no path of weights leads from the network's input to its outputs: nothing "
                  "passes through ",
                  list(flow.ends)),
              settings,
              report);
    return;
  }
  if (!flow.lost_outputs.empty()) {
    report.notes.push_back(cat(flow.lost_outputs.size(),
                               " of ",
                               graph->outputs(),
                               " outputs no longer depend on the input (counted from 0: ",
                               list(flow.lost_outputs),
                               "): nothing passes to them through ",
                               list(flow.ends)));
  }
  if (!flow.idle.empty()) {
    report.notes.push_back(
        cat("nothing passes any more through ", list(flow.idle), "; the network goes on beside"));
  }
}

void check_empty_sites(const FlowGraph* graph,
                       const std::vector<Site>& sites,
                       const std::vector<int64_t>& kept,
                       const PruneSettings& settings) {
  UpdateReport unread{.target = settings.sparsity};
  std::map<const nn::Parameter*, Tensor> masks;
  for (size_t s = 0; s < sites.size(); ++s) {
    if (kept[s] > 0) continue;
    unread.layers.push_back({.name = sites[s].name, .total = sites[s].units});
    for (const SitePart& part : sites[s].parts) {
      Tensor& mask = masks[part.parameter];
      if (!mask.defined()) {
        mask = part.parameter->masked() ? part.parameter->mask().clone()
                                        : Tensor::ones(part.parameter->shape(), DType::U8);
      }
      for (int64_t i = 0; i < mask.numel(); ++i) {
        if (part.units.unit(i) >= 0) mask.data<uint8_t>()[i] = 0;
      }
    }
  }
  const auto mask = [&](const nn::Parameter& parameter) {
    const auto emptied = masks.find(&parameter);
    return emptied == masks.end() ? parameter.mask() : emptied->second;
  };
  check_collapse(graph, mask, settings, unread);
}

void keep_outputs(const FlowGraph* graph,
                  std::vector<Site>& sites,
                  std::vector<std::string>& notes) {
  std::map<const nn::Parameter*, std::vector<uint8_t>> outputs;
  if (graph != nullptr) outputs = graph->output_rows();
  std::erase_if(sites, [&](const Site& site) {
    const std::vector<uint8_t> rows = rows_in_one_unit(site);
    if (std::ranges::none_of(rows, [](uint8_t row) { return row != 0; })) return false;
    ESPALIER_CHECK(graph != nullptr,
                   ValueError,
                   "prune: a unit of ",
                   site.name,
                   " is a whole output of the layer; whether the network's own outputs are among "
                   "them shows a run on one sample, whose shape nobody tells. Set "
                   "PruneInputs::input_shape, or prune inside of fit()");
    const auto found = outputs.find(site.parts.front().parameter);
    if (found == outputs.end()) return false;
    bool any = false;
    for (size_t r = 0; r < rows.size(); ++r) any = any || (rows[r] & found->second[r]) != 0;
    if (any) notes.push_back(cat(site.name, " keeps its rows: they are the network's outputs"));
    return any;
  });
  ESPALIER_CHECK(!sites.empty(),
                 ValueError,
                 "prune: no layer is left to prune: the rows of all that can have the pattern are "
                 "outputs of the network");
}

}  // namespace espalier::prune
