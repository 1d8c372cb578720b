// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/sites/collapse.h>

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
      report.budget.empty() ? cat("prune: at sparsity ", report.target.value(), " ")
                            : cat("prune: with ",
                                  1.0 - report.target.value(),
                                  " of the dense network's ",
                                  report.budget,
                                  " "),
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

}  // namespace

Variable sample_of(nn::Module& model, const PruneInputs& inputs) {
  if (inputs.input_shape.rank() > 0 || !inputs.batch) {
    return normal_sample(model, inputs.input_shape);
  }
  return Variable(inputs.batch(0).images.to(Layout::Nchw).slice(0, 0, 1).contiguous());
}

std::shared_ptr<const FlowGraph> flow_of(nn::Module& model, const PruneInputs& inputs) {
  if (inputs.input_shape.rank() == 0 && !inputs.batch) return nullptr;
  return std::make_shared<const FlowGraph>(trace_flow(model, sample_of(model, inputs)));
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
  UpdateReport unread{.target = settings.final()};
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

}  // namespace espalier::prune
