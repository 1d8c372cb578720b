// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/penalties/resource.h>

#include <map>

#include <espalier/core/error.h>
#include <espalier/nn/introspect/counting.h>

namespace espalier::prune {
namespace {

double count(const std::vector<int32_t>& channels, std::span<const uint8_t> alive) {
  double sum = 0.0;
  for (const int32_t c : channels) sum += alive[static_cast<size_t>(c)] != 0 ? 1.0 : 0.0;
  return sum;
}

}  // namespace

std::vector<ResourceTerm> resource_terms(nn::Module& model,
                                         const ChannelGraph& graph,
                                         const Variable& sample,
                                         BudgetKind kind) {
  ESPALIER_CHECK(kind == BudgetKind::Macs || kind == BudgetKind::Params,
                 ValueError,
                 "penalty: channels cost macs or params, got ",
                 name(kind));
  std::map<std::string, nn::LayerCount> counts;
  for (const nn::LayerCount& layer : nn::count_model(model, sample).layers) {
    counts[layer.name] = layer;
  }
  std::vector<ResourceTerm> terms;
  for (const LayerChannels& layer : graph.layers) {
    const auto found = counts.find(layer.name);
    if (found == counts.end() || found->second.weights == 0 || layer.in.empty()) continue;
    const nn::LayerCount& of_layer = found->second;
    ResourceTerm term{.layer = layer.name, .in = layer.in, .out = layer.out};
    term.depthwise = layer.module->channel_coupling().passes_through;
    const auto total =
        static_cast<double>(kind == BudgetKind::Macs ? of_layer.macs_dense : of_layer.weights);
    const auto outputs = static_cast<double>(layer.out.size());
    term.unit = total / (term.depthwise ? outputs : outputs * static_cast<double>(layer.in.size()));
    terms.push_back(std::move(term));
  }
  return terms;
}

double resource_cost(std::span<const ResourceTerm> terms, std::span<const uint8_t> alive) {
  double cost = 0.0;
  for (const ResourceTerm& term : terms) {
    cost += term.unit * count(term.out, alive) * (term.depthwise ? 1.0 : count(term.in, alive));
  }
  return cost;
}

ExpectedCost expected_cost(std::span<const ResourceTerm> terms, std::span<const double> lives) {
  ExpectedCost expected{.slope = std::vector<double>(lives.size(), 0.0)};
  const auto sum = [&](const std::vector<int32_t>& channels) {
    double of_all = 0.0;
    for (const int32_t c : channels) of_all += lives[static_cast<size_t>(c)];
    return of_all;
  };
  for (const ResourceTerm& term : terms) {
    const double out = sum(term.out);
    const double in = term.depthwise ? 1.0 : sum(term.in);
    expected.cost += term.unit * out * in;
    for (const int32_t c : term.out) expected.slope[static_cast<size_t>(c)] += term.unit * in;
    if (term.depthwise) continue;
    for (const int32_t c : term.in) expected.slope[static_cast<size_t>(c)] += term.unit * out;
  }
  return expected;
}

std::vector<double> resource_gradient(std::span<const ResourceTerm> terms,
                                      std::span<const uint8_t> alive) {
  std::vector<double> gradient(alive.size(), 0.0);
  for (const ResourceTerm& term : terms) {
    const double of_out = term.unit * (term.depthwise ? 1.0 : count(term.in, alive));
    const double of_in = term.unit * (term.depthwise ? 1.0 : count(term.out, alive));
    for (const int32_t c : term.out) gradient[static_cast<size_t>(c)] += of_out;
    for (const int32_t c : term.in) gradient[static_cast<size_t>(c)] += of_in;
  }
  return gradient;
}

double resource_penalty(std::span<const ResourceTerm> terms,
                        std::span<const uint8_t> alive,
                        std::span<const double> sizes) {
  // Linear in the sizes while who is alive is a constant.
  const std::vector<double> gradient = resource_gradient(terms, alive);
  double penalty = 0.0;
  for (size_t c = 0; c < sizes.size(); ++c) penalty += gradient[c] * sizes[c];
  return penalty;
}

}  // namespace espalier::prune
