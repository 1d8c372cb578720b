// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/graph/graph.h>

#include <algorithm>
#include <unordered_map>

#include <espalier/nn/module/own_parameters.h>

namespace espalier::nn {
std::vector<ElementSource> GraphOp::sources(const std::vector<Shape>& shapes,
                                            const Shape& shape) const {
  ESPALIER_CHECK(info != nullptr && info->movement,
                 NotImplemented,
                 "graph: op '",
                 name,
                 "' does not say where its elements come from");
  return info->movement(attributes, shapes, shape);
}

std::vector<GraphStep> NetworkGraph::steps(FunctionRef<bool(const GraphCall&)> whole) const {
  std::vector<GraphStep> steps;
  int inside = -1;  // the whole call that runs
  for (const GraphStep& step : order) {
    if (inside >= 0 && step.call != inside) continue;
    if (step.call < 0) {
      steps.push_back(step);
    } else if (!step.begins) {
      inside = -1;
      steps.push_back(step);
    } else if (whole(call(step.call))) {
      inside = step.call;
    }
  }
  return steps;
}

std::vector<const GraphCall*> NetworkGraph::layer_calls() const {
  std::vector<const GraphCall*> layers;
  for (const GraphCall& one : calls) {
    ESPALIER_CHECK(one.named,
                   ValueError,
                   "trace: the model calls ",
                   one.module->describe(),
                   ", which its visit() does not name");
  }
  for (const GraphStep& step : steps([](const GraphCall&) { return false; })) {
    if (step.call >= 0 && call(step.call).is_layer()) layers.push_back(&call(step.call));
  }
  return layers;
}

int64_t NetworkGraph::own_macs(const GraphCall& layer) const {
  const auto number = static_cast<int>(&layer - calls.data());
  int64_t macs = layer.macs;
  for (const GraphCall& one : calls) {
    if (!one.is_layer() || &one == &layer) continue;
    // The nearest layer around it.
    int around = one.parent;
    while (around >= 0 && around != number && !call(around).is_layer())
      around = call(around).parent;
    if (around == number) macs -= one.macs;
  }
  return macs;
}

std::vector<Shape> NetworkGraph::input_shapes(const GraphOp& op) const {
  std::vector<Shape> shapes;
  for (const int input : op.inputs) shapes.push_back(input < 0 ? Shape() : value(input).shape);
  return shapes;
}

void check_calls(Module& model, const NetworkGraph& graph) {
  std::unordered_map<std::string, const Parameter*> parameters;
  for (const NamedParameter& one : model.named_parameters()) {
    parameters.emplace(one.name, one.parameter);
  }
  std::unordered_map<const VariableState*, std::vector<NamedModule>> owners;
  for (const NamedModule& part : model.named_modules()) {
    if (!part.module->channel_coupling().has_channels()) continue;
    OwnParameters own;
    part.module->visit(own);
    for (const auto& [name, parameter] : own.found) {
      owners[parameter->value.state().get()].push_back(part);
    }
  }
  const auto called = [&](const Module* module, int call) {
    while (call >= 0 && graph.call(call).module != module) call = graph.call(call).parent;
    return call >= 0;
  };
  for (const GraphOp& op : graph.ops) {
    for (const int input : op.inputs) {
      if (input < 0 || graph.value(input).origin != ValueOrigin::Parameter) continue;
      const auto of = owners.find(parameters.at(graph.value(input).name)->value.state().get());
      if (of == owners.end()) continue;
      const bool seen = std::ranges::any_of(
          of->second, [&](const NamedModule& owner) { return called(owner.module, op.call); });
      ESPALIER_CHECK(seen,
                     ValueError,
                     "trace: op '",
                     op.name,
                     "' reads a parameter of '",
                     of->second.front().name,
                     "', ",
                     of->second.front().module->describe(),
                     ", which is not being called; nobody who counts, prunes or compiles the "
                     "network would see it. Call parts as part(x), not part.forward(x)");
    }
  }
}

}  // namespace espalier::nn
