// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/attach.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include <espalier/core/detail/json.h>
#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/layers/batch_norm.h>

namespace espalier::nn {
namespace {

// A smaller one would make beta / gamma, the new shift, large.
constexpr double kLeastScale = 0.01;

void check_free(const GateSite& site) {
  ESPALIER_CHECK(!site.layer->gate, ValueError, "gates: ", site.name, " has a gate already");
  ESPALIER_CHECK(!site.layer->quantizer,
                 NotImplemented,
                 "gates: ",
                 site.name,
                 " computes in 8-bit integers, which a gate can't");
}

std::shared_ptr<ChannelGate> link_channel_gate(Conv2d& layer, BatchNorm& norm) {
  auto gate = std::make_shared<ChannelGate>(ChannelGate::Options{
      .in_channels = layer.options().in_channels, .out_channels = layer.options().out_channels});
  layer.gate = gate;
  norm.gate = gate;
  return gate;
}

}  // namespace

std::vector<GatedLayer> gated_layers(Module& model) {
  std::vector<GatedLayer> out;
  for (const NamedModule& part : model.named_modules()) {
    auto* layer = dynamic_cast<Conv2d*>(part.module);
    if (layer != nullptr && layer->gate) out.push_back({part.name, layer, layer->gate.get()});
  }
  return out;
}

bool is_gated(Module& model) {
  return !gated_layers(model).empty();
}

void remove_gates(Module& model) {
  // The list names the gates too: they must outlive the walk over it.
  std::vector<std::shared_ptr<Module>> removed;
  for (const NamedModule& part : model.named_modules()) {
    if (auto* layer = dynamic_cast<Conv2d*>(part.module)) {
      removed.push_back(std::exchange(layer->gate, nullptr));
    }
    if (auto* norm = dynamic_cast<BatchNorm*>(part.module)) {
      removed.push_back(std::exchange(norm->gate, nullptr));
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

std::shared_ptr<ChannelGate> add_channel_gate(const GateSite& site) {
  check_free(site);
  ESPALIER_CHECK(site.norm != nullptr,
                 ValueError,
                 "gates: no batch norm reads ",
                 site.name,
                 " alone; a channel gate takes the place of its scale");
  ESPALIER_CHECK(site.norm->options().affine,
                 NotImplemented,
                 "gates: ",
                 site.norm_name,
                 ", which reads ",
                 site.name,
                 ", is not affine: it has no scale whose place a channel gate could take");
  auto gate = link_channel_gate(*site.layer, *site.norm);
  for (int64_t c = 0; c < gate->bias.numel(); ++c) {
    float& gamma = site.norm->weight.value.value().data<float>()[c];
    const float scale = std::max(gamma, static_cast<float>(kLeastScale));
    gate->bias.value.value().data<float>()[c] = scale;
    site.norm->bias.value.value().data<float>()[c] /= scale;
    gamma = 1.0F;
  }
  return gate;
}

std::shared_ptr<PositionGate> add_position_gate(const GateSite& site,
                                                const PositionGate::Options& options) {
  check_free(site);
  const Conv2d::Options& conv = site.layer->options();
  ESPALIER_CHECK(conv.groups == 1 && conv.in_channels % options.parts == 0 &&
                     conv.out_channels % options.parts == 0,
                 ValueError,
                 "gates: ",
                 site.name,
                 ", ",
                 site.layer->describe(),
                 ", can't be cut into ",
                 options.parts,
                 " parts");
  PositionGate::Options own = options;
  own.channels = conv.out_channels;
  auto gate = std::make_shared<PositionGate>(own);
  site.layer->gate = gate;
  return gate;
}

std::string describe_gates(Module& model) {
  std::unordered_map<const ConvGate*, std::string> norms;
  for (const NamedModule& part : model.named_modules()) {
    const auto* norm = dynamic_cast<BatchNorm*>(part.module);
    if (norm != nullptr && norm->gate) norms[norm->gate.get()] = part.name;
  }
  nlohmann::json out = nlohmann::json::object();
  for (const GatedLayer& one : gated_layers(model)) {
    nlohmann::json entry = {{"kind", one.gate->kind()}, {"settings", one.gate->settings()}};
    if (norms.contains(one.gate)) entry["norm"] = norms.at(one.gate);
    out[one.name] = entry;
  }
  return out.empty() ? "" : out.dump();
}

void restore_gates(Module& model, const std::string& description) {
  std::unordered_map<std::string, Module*> parts;
  for (const NamedModule& part : model.named_modules()) parts[part.name] = part.module;
  const auto part = [&]<class M>(const std::string& name, M*) {
    const auto found = parts.find(name);
    M* module = found == parts.end() ? nullptr : dynamic_cast<M*>(found->second);
    ESPALIER_CHECK(module != nullptr, ValueError, "gates: the model has no such layer: ", name);
    return module;
  };
  try {
    const nlohmann::json layers =
        espalier::detail::parse_json<nlohmann::json>(description, "gates: their description");
    for (const auto& [name, entry] : layers.items()) {
      Conv2d* layer = part(name, static_cast<Conv2d*>(nullptr));
      const auto kind = entry.at("kind").get<std::string>();
      const nlohmann::json& settings = entry.at("settings");
      if (kind == "channels") {
        link_channel_gate(
            *layer, *part(entry.at("norm").get<std::string>(), static_cast<BatchNorm*>(nullptr)));
      } else if (kind == "positions") {
        const auto parts_wanted = settings.at("parts").get<double>();
        ESPALIER_CHECK(parts_wanted >= 1.0 && parts_wanted <= 65536.0,
                       ValueError,
                       "gates: ",
                       parts_wanted,
                       " parts");
        add_position_gate({.name = name, .layer = layer},
                          {.parts = static_cast<int64_t>(parts_wanted),
                           .slope = settings.at("slope").get<double>(),
                           .sparse_back = settings.at("sparse_back").get<double>() != 0.0});
      } else {
        throw ValueError(cat("gates: unknown kind '", kind, "'"));
      }
    }
  } catch (const IoError& e) {  // it is an argument here, of whatever file it came from
    throw ValueError(e.what());
  } catch (const nlohmann::json::exception& e) {
    throw ValueError(cat("gates: bad description: ", espalier::detail::json_words(e)));
  }
}

}  // namespace espalier::nn
