// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/bridging.h>

#include <algorithm>
#include <map>

#include <espalier/autograd/ops.h>
#include <espalier/core/kernels/gemm.h>
#include <espalier/nn/graph/tracer.h>
#include <espalier/prune/ground/as_double.h>
#include <espalier/prune/structure/channel_graph.h>

namespace espalier::prune {
namespace {

/// Whether index i of a slice is channel i.
bool is_plain(const GroupSlice& slice) {
  for (size_t i = 0; i < slice.channel_of.size(); ++i) {
    if (slice.channel_of[i] != static_cast<int32_t>(i)) return false;
  }
  return true;
}

/// Empty names where the group is no layer of neurons.
NeuronLayer read(nn::Module& model, const ChannelGroup& group) {
  NeuronLayer layer;
  layer.neurons = group.channels;
  if (!group.frozen_because.empty()) return {};
  for (const GroupSlice& slice : group.slices) {
    if (slice.buffer || !is_plain(slice) || slice.role == SliceRole::Follower) return {};
    const int64_t rank = model.parameter(slice.name).shape().rank();
    std::string& place = slice.role == SliceRole::Consumer ? layer.out
                         : rank == 1                       ? layer.bias
                                                           : layer.in;
    if (!place.empty() || rank > 2) return {};
    place = slice.name;
  }
  return layer.in.empty() || layer.out.empty() ? NeuronLayer{} : layer;
}

/// (.., channels) as rows, float64.
Tensor rows_of(const Tensor& values) {
  const Tensor x = values.to(Layout::Nchw).contiguous().to(DType::F64);
  return x.reshape({x.numel() / x.size(-1), x.size(-1)});
}

}  // namespace

std::vector<NeuronLayer> neuron_layers(nn::Module& model, const Shape& input_shape) {
  std::vector<NeuronLayer> layers;
  for (const ChannelGroup& group : channel_groups(model, input_shape)) {
    NeuronLayer layer = read(model, group);
    if (!layer.in.empty()) layers.push_back(std::move(layer));
  }
  return layers;
}

std::vector<Tensor> bridging_gradients(nn::Module& model,
                                       const std::vector<NeuronLayer>& layers,
                                       const PruneInputs& inputs,
                                       const data::Batch& batch) {
  const RecordingScope recording(true);
  const std::unique_ptr<nn::Module> copy = model.clone();
  copy->eval();
  const nn::TracedRun run = nn::trace_run(*copy, Variable(batch.images));
  std::map<const nn::Parameter*, const nn::GraphCall*> calls;
  for (const nn::GraphStep& step : run.graph.steps([](const auto&) { return false; })) {
    if (step.call < 0) continue;
    const nn::GraphCall& call = run.graph.call(step.call);
    const nn::GraphValue& input = run.graph.value(call.input);
    const auto product = call.module->weight_product(input.shape, input.layout);
    if (product) calls[product->weight] = &call;
  }
  const auto call_of = [&](const std::string& weight) -> const nn::GraphCall& {
    const auto found = calls.find(&copy->parameter(weight));
    ESPALIER_CHECK(found != calls.end(),
                   NotImplemented,
                   "bridging gradients: no layer multiplies its input with the whole of ",
                   weight);
    return *found->second;
  };
  const auto value = [&](int number) { return run.values[static_cast<size_t>(number)]; };
  std::vector<Variable> outputs;
  for (const NeuronLayer& layer : layers) outputs.push_back(value(call_of(layer.out).output));
  const Variable loss =
      inputs.loss ? inputs.loss(run.output, batch.labels) : cross_entropy(run.output, batch.labels);
  const std::vector<Variable> slopes = grad({loss}, outputs, {.allow_unused = true});
  std::vector<Tensor> result;
  for (size_t l = 0; l < layers.size(); ++l) {
    const Tensor x = rows_of(value(call_of(layers[l].in).input).value());
    Tensor bridge = Tensor::zeros({outputs[l].size(-1), x.size(1)}, DType::F64);
    if (slopes[l].defined()) gemm(rows_of(slopes[l].value()).transpose(0, 1), x, bridge);
    result.push_back(bridge);
  }
  return result;
}

}  // namespace espalier::prune
