// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include <espalier/autograd/ops.h>
#include <espalier/core/parallel.h>
#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/train/objective.h>
#include <espalier/prune/scores/gate_gradients.h>

namespace espalier::prune {
namespace {

/// A layer that scales every channel of what it reads by a number of its own.
bool is_norm(const nn::Module& module) {
  const nn::ChannelCoupling coupling = module.channel_coupling();
  return coupling.passes_through && !coupling.out.empty() && coupling.groups == 1;
}

/// The activations that gates multiply, as values of the graph, each with the number of its weight:
/// outputs of gated layers, or of the norms behind them. `layers`: modules with these numbers.
std::vector<std::pair<size_t, int>> gate_points(const nn::NetworkGraph& graph,
                                                const std::map<const nn::Module*, size_t>& layers) {
  std::vector<std::pair<size_t, int>> points;
  std::map<int, size_t> newest;  // the point that a layer's output made
  for (const nn::GraphStep& step : graph.steps([](const auto&) { return false; })) {
    if (step.call < 0) continue;
    const nn::GraphCall& call = graph.call(step.call);
    const auto layer = layers.find(call.module);
    if (layer != layers.end()) {
      newest[call.output] = points.size();
      points.emplace_back(layer->second, call.output);
      continue;
    }
    const auto made = newest.find(call.input);
    if (made != newest.end() && is_norm(*call.module)) points[made->second].second = call.output;
  }
  return points;
}

/// Of every named parameter, the module that holds it.
std::map<std::string, nn::Module*> holders(nn::Module& model) {
  std::map<std::string, nn::Module*> result;
  for (const nn::NamedModule& layer : model.named_modules()) result[layer.name] = layer.module;
  return result;
}

std::string layer_of(const std::string& parameter) {
  const size_t dot = parameter.rfind('.');
  return dot == std::string::npos ? "" : parameter.substr(0, dot);
}

/// sum over positions of a * g, added to (N,O) after scaling.
void add_gate(Tensor& gate, const Tensor& activation, const Tensor& gradient, double scale) {
  const Tensor a = activation.to(Layout::Nchw).contiguous();
  const Tensor g = gradient.to(Layout::Nchw).contiguous();
  const int64_t samples = a.size(0);
  const int64_t channels = gate.size(1);
  // (N,O,positions) of planes and vectors; (N,positions,O) of sequences.
  const bool last = a.rank() == 3;
  const int64_t positions = a.numel() / std::max<int64_t>(samples * channels, 1);
  double* out = gate.data<double>();
  dispatch_floating(a.dtype(), "gate gradients", [&](auto zero) {
    using T = decltype(zero);
    const T* av = a.data<T>();
    const T* gv = g.data<T>();
    parallel_for(samples, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * channels; i < end * channels; ++i) {
        const int64_t n = i / channels;
        const int64_t first = last ? n * positions * channels + i % channels : i * positions;
        const int64_t stride = last ? channels : 1;
        double sum = 0.0;
        for (int64_t p = 0; p < positions; ++p) {
          sum += static_cast<double>(av[first + p * stride]) *
                 static_cast<double>(gv[first + p * stride]);
        }
        out[i] += scale * sum;
      }
    });
  });
}

}  // namespace

std::vector<Tensor> gate_gradients(const ScoreContext& context,
                                   const data::Batch& batch,
                                   ScoringMode mode) {
  const RecordingScope recording(true);
  const std::unique_ptr<nn::Module> copy = context.model.clone();
  copy->train(mode == ScoringMode::Train);
  const auto modules = holders(*copy);
  std::map<const nn::Module*, size_t> layers;
  for (size_t w = 0; w < context.weights.size(); ++w) {
    layers[modules.at(layer_of(context.weights[w].name))] = w;
  }
  const nn::TracedRun run = nn::trace_run(*copy, Variable(batch.images));
  const Variable logits = nn::class_rows(run.output);
  const Variable loss = context.inputs.loss ? context.inputs.loss(logits, batch.labels)
                                            : cross_entropy(logits, batch.labels);
  std::vector<Variable> activations;
  const auto points = gate_points(run.graph, layers);
  for (const auto& [weight, value] : points) {
    activations.push_back(run.values[static_cast<size_t>(value)]);
  }
  const std::vector<Variable> gradients = grad({loss}, activations, {.allow_unused = true});

  const int64_t samples = batch.images.size(0);
  std::vector<Tensor> result;
  for (const nn::NamedParameter& weight : context.weights) {
    result.push_back(Tensor::zeros({samples, weight.parameter->shape()[0]}, DType::F64));
  }
  for (size_t i = 0; i < activations.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const size_t w = points[i].first;
    const Tensor& a = activations[i].value();
    ESPALIER_CHECK(
        a.size(0) == samples && a.size(a.rank() == 4 ? 1 : a.rank() - 1) == result[w].size(1),
        NotImplemented,
        "gate gradients: the rows of ",
        context.weights[w].name,
        " (",
        result[w].size(1),
        ") are not the channels of its layer's output ",
        a.shape(),
        "; exclude it");
    add_gate(result[w], a, gradients[i].value(), static_cast<double>(samples));
  }
  return result;
}

Tensor unit_gates(const Site& site,
                  std::span<const nn::NamedParameter> weights,
                  std::span<const Tensor> gates) {
  Tensor result;
  for (const SitePart& part : site.parts) {
    if (!part.scored) continue;
    const auto found = std::ranges::find(weights, part.parameter, &nn::NamedParameter::parameter);
    const Tensor& gate = gates[static_cast<size_t>(found - weights.begin())];
    const int64_t samples = gate.size(0);
    const int64_t filters = gate.size(1);
    if (!result.defined()) result = Tensor::zeros({samples, site.units}, DType::F64);
    const int64_t inner = part.parameter->numel() / std::max<int64_t>(filters, 1);
    for (int64_t f = 0; f < filters; ++f) {
      const int64_t unit = part.units.unit(f * inner);
      if (unit < 0) continue;
      for (int64_t n = 0; n < samples; ++n) {
        result.data<double>()[n * site.units + unit] += gate.data<double>()[n * filters + f];
      }
    }
  }
  return result;
}

std::vector<data::Batch> scoring_batches(const ScoreContext& context, int64_t count) {
  std::vector<data::Batch> batches;
  const int64_t different = context.inputs.single_batch ? 1 : count;
  for (int64_t i = 0; i < different; ++i) batches.push_back(scoring_batch(context, i));
  return batches;
}

}  // namespace espalier::prune
