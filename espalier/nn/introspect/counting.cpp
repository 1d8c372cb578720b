// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/introspect/counting.h>

#include <algorithm>
#include <map>
#include <set>

#include <espalier/nn/forms/slots.h>
#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/introspect/samples.h>

namespace espalier::nn {
namespace {

int64_t count_nonzero(const Tensor& tensor) {
  const Tensor plain = tensor.contiguous();
  return dispatch_floating(plain.dtype(), "count_model", [&](auto zero) -> int64_t {
    using T = decltype(zero);
    const T* data = plain.data<T>();
    return plain.numel() - std::count(data, data + plain.numel(), T{0});
  });
}

/// Whether `slices` cut dimension `first` or a later one of a member.
bool cut(const std::vector<ChannelSlice>& slices, std::string_view member, int first) {
  return std::ranges::any_of(slices, [&](const ChannelSlice& slice) {
    return slice.name == member && slice.dim >= first;
  });
}

/// Whether a weight is summed over with the input's channels.
bool is_summed(const ChannelCoupling& coupling, std::string_view member) {
  if (coupling.passes_through) return false;
  const int first = coupling.transposed ? 0 : 1;
  return cut(coupling.in, member, first) || cut(coupling.inner, member, 1);
}

bool is_depthwise(const ChannelCoupling& coupling, std::string_view member, const Shape& shape) {
  return coupling.passes_through && shape.rank() >= 3 && cut(coupling.out, member, 0) &&
         !cut(coupling.out, member, 1);
}

/// One call of a layer.
struct LayerRun {
  Shape input;
  Shape output;
  int64_t macs;
};

std::multimap<const Module*, LayerRun> layer_runs(const NetworkGraph& graph) {
  std::multimap<const Module*, LayerRun> runs;
  for (const GraphCall* call : graph.layer_calls()) {
    runs.emplace(call->module,
                 LayerRun{graph.value(call->input).shape,
                          graph.value(call->output).shape,
                          graph.own_macs(*call)});
  }
  return runs;
}

/// How often one sample multiplies each entry of a weight of `layer`.
int64_t uses(const Module& layer, const Shape& weight, const LayerRun& run) {
  if (run.input.numel() == 0) return 0;
  const int64_t batch = run.input[0];
  if (layer.channel_coupling().transposed) return run.input.numel() / (batch * weight[0]);
  if (weight.rank() >= 3) return run.output.numel() / (batch * weight[0]);
  // Once at every position of a sequence; a vector is a sequence of one.
  return run.input.numel() / (batch * run.input.size(-1));
}

/// Of one sample.
int64_t factor_macs(const Module& layer, const Form& form, const LayerRun& run) {
  const std::optional<WeightProduct> product = layer.weight_product(run.input, Layout::Nchw);
  if (!product || run.input.numel() == 0) return 0;
  int64_t macs = 0;
  for (const Conv2dShape& one : form.factor_products(product->shape)) macs += one.macs();
  return macs / run.input[0];
}

void accumulate(LayerCount& sum, const LayerCount& part) {
  sum.params += part.params;
  sum.params_nonzero += part.params_nonzero;
  sum.weights += part.weights;
  sum.weights_nonzero += part.weights_nonzero;
  sum.macs_dense += part.macs_dense;
  sum.macs_effective += part.macs_effective;
  sum.macs_executed += part.macs_executed;
}

}  // namespace

double LayerCount::sparsity() const {
  if (weights == 0) return 0.0;
  return static_cast<double>(weights - weights_nonzero) / static_cast<double>(weights);
}

bool is_prunable_weight(const Module& layer, std::string_view member, const Parameter& parameter) {
  const ChannelCoupling coupling = layer.channel_coupling();
  return is_summed(coupling, member) || is_depthwise(coupling, member, parameter.shape());
}

std::vector<NamedParameter> prunable_parameters(Module& model) {
  std::map<std::string, Module*> modules;
  for (const NamedModule& part : model.named_modules()) modules[part.name] = part.module;
  std::vector<NamedParameter> out;
  for (const NamedParameter& p : model.named_parameters()) {
    const size_t dot = p.name.rfind('.');
    const std::string owner = dot == std::string::npos ? "" : p.name.substr(0, dot);
    const std::string member = dot == std::string::npos ? p.name : p.name.substr(dot + 1);
    if (is_prunable_weight(*modules.at(owner), member, *p.parameter)) out.push_back(p);
  }
  return out;
}

ModelCount count_model(Module& model, const Variable& input) {
  const NetworkGraph graph = trace_network(model, input);
  check_calls(model, graph);
  const std::multimap<const Module*, LayerRun> runs = layer_runs(graph);
  std::map<std::string, Module*> modules;
  for (const NamedModule& part : model.named_modules()) modules[part.name] = part.module;

  const auto under_forms = supports_under_forms(model);
  const auto in_factors = weight_factors(model);
  std::set<const Parameter*> factors;
  for (const auto& [weight, of] : in_factors) {
    for (const NamedParameter& p : of.form->named_parameters()) factors.insert(p.parameter);
  }
  const auto kept_of = [&](const Parameter& parameter, bool prunable) {
    const auto cut = in_factors.find(&parameter);
    if (cut != in_factors.end()) return cut->second.numbers;
    const auto found = under_forms.find(&parameter);
    if (found != under_forms.end()) return found->second->nnz();
    return prunable && !parameter.masked() ? count_nonzero(parameter.value.value())
                                           : parameter.nnz();
  };
  ModelCount result;
  for (const NamedParameter& p : model.named_parameters()) {
    if (factors.contains(p.parameter)) continue;
    const size_t dot = p.name.rfind('.');
    const std::string owner = dot == std::string::npos ? "" : p.name.substr(0, dot);
    const std::string member = dot == std::string::npos ? p.name : p.name.substr(dot + 1);
    Module& layer = *modules.at(owner);
    if (result.layers.empty() || result.layers.back().name != owner) {
      result.layers.push_back({.name = owner, .kind = layer.describe()});
    }
    LayerCount& count = result.layers.back();
    const bool prunable = is_prunable_weight(layer, member, *p.parameter);
    const int64_t kept = kept_of(*p.parameter, prunable);
    count.params += p.parameter->numel();
    count.params_nonzero += kept;
    if (prunable) {
      count.weights += p.parameter->numel();
      count.weights_nonzero += kept;
    }
    const auto [first, last] = runs.equal_range(&layer);
    for (auto run = first; run != last; ++run) {
      count.output = run->second.output;
      if (!prunable) continue;
      const int64_t times = uses(layer, p.parameter->shape(), run->second);
      count.macs_dense += times * p.parameter->numel();
      const auto cut = in_factors.find(p.parameter);
      count.macs_effective += cut == in_factors.end()
                                  ? times * kept
                                  : factor_macs(layer, *cut->second.form, run->second);
    }
  }

  for (LayerCount& count : result.layers) {
    const auto [first, last] = runs.equal_range(modules.at(count.name));
    for (auto run = first; run != last; ++run) {
      count.macs_executed += run->second.macs / std::max<int64_t>(1, run->second.input[0]);
    }
    accumulate(result.total, count);
  }
  // Besides its layers' also those of gated blocks' heads.
  result.total.macs_executed = graph.calls.front().macs / std::max<int64_t>(1, input.size(0));
  result.total.kind = model.describe();
  return result;
}

ModelCount count_model(Module& model, const Shape& sample) {
  const Tensor zeros = zero_samples(model, sample);
  const Tensor input = sample.rank() == 3 ? zeros.to(Layout::Nchw16n) : zeros;
  return count_model(model, Variable(input));
}

}  // namespace espalier::nn
