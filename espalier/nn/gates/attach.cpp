// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/attach.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/layers/batch_norm.h>

namespace espalier::nn {
namespace {

// A smaller one would make beta / gamma, the new shift, large.
constexpr double kLeastScale = 0.01;

void set_form(const GateSite& site, std::shared_ptr<Form> gate) {
  ESPALIER_CHECK(!site.layer->form,
                 ValueError,
                 "gates: ",
                 site.name,
                 " has a form already: ",
                 site.layer->form ? site.layer->form->describe() : std::string());
  site.layer->form = std::move(gate);
}

}  // namespace

std::vector<PlacedGate> placed_gates(Module& model) {
  std::vector<PlacedGate> out;
  for (const NamedModule& one : model.named_modules()) {
    auto* layer = dynamic_cast<Conv2d*>(one.module);
    const auto* block = dynamic_cast<FormedBlock*>(one.module);
    Attached* part = nullptr;
    if (layer != nullptr) part = layer->form.get();
    if (block != nullptr) part = block->form.get();
    if (auto* gate = dynamic_cast<Gate*>(part)) {
      out.push_back({one.name, layer, part, gate, gate->decision().get()});
    }
  }
  return out;
}

bool is_gated(Module& model) {
  const std::vector<NamedModule> parts = model.named_modules();
  return std::ranges::any_of(
      parts, [](const NamedModule& part) { return dynamic_cast<Gate*>(part.module) != nullptr; });
}

void remove_gates(Module& model) {
  // The list names the gates too: they must outlive the walk over it.
  std::vector<std::shared_ptr<Module>> removed;
  for (const NamedModule& part : model.named_modules()) {
    if (auto* norm = dynamic_cast<FormedNorm*>(part.module)) {
      removed.push_back(norm->scaling());
      norm->set_scaling(nullptr);
    }
    auto* layer = dynamic_cast<Conv2d*>(part.module);
    if (layer != nullptr && dynamic_cast<Gate*>(layer->form.get()) != nullptr) {
      removed.push_back(std::exchange(layer->form, nullptr));
    }
    auto* block = dynamic_cast<FormedBlock*>(part.module);
    if (block != nullptr && dynamic_cast<Gate*>(block->form.get()) != nullptr) {
      removed.push_back(std::exchange(block->form, nullptr));
    }
  }
}

std::vector<GateSite> gate_sites(Module& model, const Variable& example) {
  const NetworkGraph graph = trace_network(model, example);
  std::map<int, GateSite> by_output;  // the site of a value that a convolution makes
  std::vector<int> outputs;
  std::map<const Conv2d*, int> uses;
  for (const GraphCall* call : graph.layer_calls()) {
    if (auto* norm = dynamic_cast<BatchNorm*>(call->module)) {
      const auto read = by_output.find(call->input);
      if (read == by_output.end()) continue;
      read->second.norm = norm;
      read->second.norm_name = call->name;
    } else if (auto* layer = dynamic_cast<Conv2d*>(call->module)) {
      by_output[call->output] = {.name = call->name, .layer = layer};
      outputs.push_back(call->output);
      ++uses[layer];
    }
  }
  std::map<int, int> readers;  // how many ops read a value
  for (const GraphOp& op : graph.ops) {
    for (const int input : op.inputs) ++readers[input];
  }
  std::vector<GateSite> sites;
  for (size_t i = 1; i < outputs.size(); ++i) {
    GateSite site = by_output.at(outputs[i]);
    if (uses.at(site.layer) > 1) continue;  // it decides twice; its batch norms would mix that up
    if (readers[outputs[i]] != 1) site.norm = nullptr;
    sites.push_back(site);
  }
  return sites;
}

std::shared_ptr<ChannelGate> add_channel_gate(const GateSite& site,
                                              std::shared_ptr<Decision> decision) {
  auto gate = std::make_shared<ChannelGate>(std::move(decision));
  if (gate->decision()->is_scale()) {
    ESPALIER_CHECK(site.norm != nullptr,
                   ValueError,
                   "gates: no batch norm reads ",
                   site.name,
                   " alone; the gate takes the place of its scale");
    ESPALIER_CHECK(site.norm->options().affine,
                   NotImplemented,
                   "gates: ",
                   site.norm_name,
                   ", which reads ",
                   site.name,
                   ", is not affine: it has no scale whose place a gate could take");
  }
  set_form(site, gate);
  if (site.norm != nullptr) site.norm->set_scaling(gate);
  return gate;
}

std::shared_ptr<Saliency> add_saliency_gate(const GateSite& site) {
  auto decision = std::make_shared<Saliency>(
      Saliency::Options{.in_channels = site.layer->options().in_channels,
                        .out_channels = site.layer->options().out_channels});
  add_channel_gate(site, decision);
  for (int64_t c = 0; c < decision->bias.numel(); ++c) {
    float& gamma = site.norm->weight.value.value().data<float>()[c];
    const float scale = std::max(gamma, static_cast<float>(kLeastScale));
    decision->bias.value.value().data<float>()[c] = scale;
    site.norm->bias.value.value().data<float>()[c] /= scale;
    gamma = 1.0F;
  }
  return decision;
}

std::shared_ptr<PositionGate> add_position_gate(const GateSite& site,
                                                int64_t parts,
                                                std::shared_ptr<Decision> decision) {
  const Conv2d::Options& conv = site.layer->options();
  ESPALIER_CHECK(
      conv.groups == 1 && conv.in_channels % parts == 0 && conv.out_channels % parts == 0,
      ValueError,
      "gates: ",
      site.name,
      ", ",
      site.layer->describe(),
      ", can't be cut into ",
      parts,
      " parts");
  auto gate = std::make_shared<PositionGate>(parts, std::move(decision));
  set_form(site, gate);
  return gate;
}

std::shared_ptr<PartialSum> add_partial_sum_gate(const GateSite& site,
                                                 const PartialSumGateOptions& options) {
  auto decision = std::make_shared<PartialSum>(
      PartialSum::Options{.channels = site.layer->options().out_channels,
                          .slope = options.slope,
                          .sparse_back = options.sparse_back});
  add_position_gate(site, options.parts, decision);
  return decision;
}

std::vector<BlockGateSite> block_gate_sites(Module& model, const Variable& example) {
  const NetworkGraph graph = trace_network(model, example);
  std::map<const Module*, int> uses;
  for (const GraphCall& call : graph.calls) ++uses[call.module];
  const std::vector<BlockSite> blocks = block_sites(model);
  std::vector<BlockGateSite> out;
  bool first = true;
  for (const GraphCall& call : graph.calls) {
    const auto block = std::ranges::find(blocks, call.module, &BlockSite::module);
    if (block == blocks.end() || graph.value(call.input).shape.rank() != 4) continue;
    if (!std::exchange(first, false) && uses.at(call.module) == 1) {
      out.push_back({*block, graph.value(call.input).shape[1]});
    }
  }
  return out;
}

std::shared_ptr<BlockGate> add_block_gate(const BlockSite& site,
                                          std::shared_ptr<Decision> decision) {
  ESPALIER_CHECK(!site.block->form, ValueError, "gates: ", site.name, " has a form already");
  auto gate = std::make_shared<BlockGate>(std::move(decision));
  site.block->form = gate;
  return gate;
}

}  // namespace espalier::nn
