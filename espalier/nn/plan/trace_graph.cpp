// SPDX-License-Identifier: Apache-2.0
// trace_graph: one run of a network on an example, op by op, becomes a graph. Layers are recognized
// by their ops, so that functions and modules are the same; only batch norm is taken as a layer,
// for its running statistics, and a gated convolution, for its gate.
#include <cmath>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <espalier/autograd/ops/pool_check.h>
#include <espalier/autograd/variable_state.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/gates/channel_gate.h>
#include <espalier/nn/gates/position_gate.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/plan/copy_runs.h>
#include <espalier/nn/plan/graph.h>
#include <espalier/nn/quantize/quantize.h>

namespace espalier::nn::plan {
namespace {

constexpr std::string_view kSupported =
    "conv2d, linear, batch norm, relu, clamp, add, max_pool2d, avg_pool2d, adaptive_avg_pool2d, "
    "reshape, slice, pad, concat, permute";

Tensor plain(const Variable& value) {
  return value.value().to(DType::F32).to(Layout::Nchw).clone();
}

/// A copy of one op that only moves values, learnt from its backward function: a gradient that
/// holds the numbers of the output's positions arrives at the input as who went where.
std::vector<CopyRun> learn_runs(const Variable& output,
                                const std::vector<Variable>& inputs,
                                const BackwardFn& backward) {
  const int64_t size = output.numel() / output.size(0);
  Tensor numbers = Tensor::empty(output.shape(), output.dtype());
  for (int64_t i = 0; i < output.numel(); ++i) {
    numbers.data<float>()[i] = static_cast<float>(i % size + 1);
  }
  const Variable gradient(numbers.to(output.layout()));
  const std::vector<bool> needs(inputs.size(), true);
  const std::vector<Variable> gathered(inputs.size());
  const std::vector<Variable> arrived = backward({gradient, {}, needs, gathered});
  std::vector<Source> sources(static_cast<size_t>(size));
  for (size_t input = 0; input < inputs.size(); ++input) {
    const std::vector<float> places = arrived[input].value().to_vector<float>();
    const int64_t in_size = inputs[input].numel() / inputs[input].size(0);
    for (int64_t i = 0; i < in_size; ++i) {
      const auto place = static_cast<int64_t>(places[static_cast<size_t>(i)]);
      if (place > 0) sources[static_cast<size_t>(place - 1)] = {static_cast<int64_t>(input), i};
    }
  }
  return runs_of(sources);
}

/// Whether an op gives values another place and leaves them as they are; the mean of one position
/// is that position.
bool only_moves(std::string_view op, const std::vector<double>& settings) {
  return op == "slice" || op == "pad" || op == "concat" || op == "permute" ||
         (op == "avg_pool2d" && settings.at(0) == 1.0 && settings.at(1) == 1.0);
}

class GraphTracer : public TraceListener {
 public:
  explicit GraphTracer(Module& model) : check_(model) {
    for (const NamedModule& part : model.named_modules()) names_.emplace(part.module, part.name);
    for (const NamedParameter& one : model.named_parameters()) {
      if (one.parameter->masked()) masked_.insert(one.parameter->value.state().get());
    }
  }

  Graph graph;

  void begin(const Variable& input) { bind(input, graph.add_value(sample_shape(input, "input"))); }
  void end(const Variable& output) {
    const int* value = find(output);
    ESPALIER_CHECK(value != nullptr,
                   ValueError,
                   "compile: the output of the model does not depend on its input");
    graph.output = *value;
  }

  void enter(Module& module, const Variable&) override {
    check_.enter(module);
    open_.push_back(&module);
    if (is_whole_layer(module)) ++inside_layer_;
  }

  void leave(Module& module, const Variable& input, const Variable& output) override {
    check_.leave();
    if (is_whole_layer(module)) {
      --inside_layer_;
      if (find(input) != nullptr) {
        if (const auto* norm = dynamic_cast<const BatchNorm*>(&module)) {
          add_batch_norm(*norm, input, output);
        } else {
          add_gated(dynamic_cast<const Conv2d&>(module), input, output);
        }
      }
    }
    open_.pop_back();
  }

  void op(const char* name,
          const Variable& output,
          const std::vector<Variable>& inputs,
          const BackwardFn& backward) override {
    check_.op(name, inputs);
    if (inside_layer_ > 0) return;
    bool tracked = false;
    for (const Variable& input : inputs) tracked = tracked || find(input) != nullptr;
    if (!tracked) return;  // a constant of the network
    const std::string_view op = name;
    const std::vector<double>& settings = observed_settings();
    if (op == "conv2d" || op == "linear") {
      add_product(op, output, inputs, settings);
    } else if (op == "relu" || op == "clamp") {
      Step& step = add_step(StepKind::Clamp, op, output, inputs);
      step.limits.low = op == "relu" ? 0.0f : static_cast<float>(settings.at(0));
      if (op == "clamp") step.limits.high = static_cast<float>(settings.at(1));
    } else if (op == "add") {
      require(inputs[0].shape() == inputs[1].shape(), op, "of values of different shapes");
      add_step(StepKind::Add, op, output, inputs);
    } else if (only_moves(op, settings)) {
      add_copy(op, output, inputs, backward);
    } else if (op == "max_pool2d" || op == "avg_pool2d") {
      const PoolOptions pool = espalier::detail::observed_pool();
      Step& step =
          add_step(op == "max_pool2d" ? StepKind::MaxPool : StepKind::MeanPool, op, output, inputs);
      step.pool = pool;
    } else if (op == "adaptive_avg_pool2d") {
      add_step(StepKind::MeanPool, op, output, inputs);
    } else if (op == "reshape") {
      add_reshape(output, inputs);
    } else if (op == "to_layout") {
      bind(output, *find(inputs[0]));
    } else {
      require(false, op, "is not supported");
    }
  }

 private:
  /// Layers whose ops are not looked at.
  static bool is_whole_layer(const Module& module) {
    const auto* conv = dynamic_cast<const Conv2d*>(&module);
    return dynamic_cast<const BatchNorm*>(&module) != nullptr ||
           (conv != nullptr && dynamic_cast<const nn::Gate*>(conv->form.get()) != nullptr);
  }

  const int* find(const Variable& value) const {
    if (!value.defined()) return nullptr;
    const auto found = values_.find(value.state().get());
    return found == values_.end() ? nullptr : &found->second;
  }

  void bind(const Variable& value, int id) {
    alive_.push_back(value);  // keeps the address from being used again
    values_.insert_or_assign(value.state().get(), id);
  }

  /// The dotted name of the module that runs.
  std::string where() const {
    if (open_.empty()) return {};
    const auto found = names_.find(open_.back());
    return found == names_.end() ? open_.back()->describe() : found->second;
  }

  void require(bool supported, std::string_view op, std::string_view why) const {
    const std::string layer = where();
    ESPALIER_CHECK(supported,
                   NotImplemented,
                   "compile: op '",
                   op,
                   "' ",
                   layer.empty() ? std::string() : cat("of layer '", layer, "' "),
                   why,
                   ". A plan can do: ",
                   kSupported);
  }

  Shape sample_shape(const Variable& value, std::string_view op) const {
    require(value.dtype() == DType::F32, op, cat("works on ", espalier::name(value.dtype())));
    require(value.rank() >= 2 && value.size(0) >= 1, op, "gives no value of each sample");
    return value.shape().without(0);
  }

  /// The name of a layer; of an op between layers, where it stands and what it is.
  std::string step_name(std::string_view op) const {
    std::string name = where();
    const bool layer = op == "conv2d" || op == "linear" || op == "batch_norm";
    if (name.empty() || !layer) name += cat(name.empty() ? "" : ".", op);
    return name;
  }

  Step& add_step(StepKind kind,
                 std::string_view op,
                 const Variable& output,
                 const std::vector<Variable>& inputs) {
    Step step;
    step.kind = kind;
    step.name = step_name(op);
    for (const Variable& input : inputs) {
      const int* value = find(input);
      require(value != nullptr, op, "combines the input with a constant");
      require(input.size(0) == output.size(0), op, "mixes samples");
      step.inputs.push_back(*value);
    }
    step.output = graph.add_value(sample_shape(output, op));
    bind(output, step.output);
    return graph.steps.emplace_back(std::move(step));
  }

  void add_product(std::string_view op,
                   const Variable& output,
                   const std::vector<Variable>& inputs,
                   const std::vector<double>& settings) {
    require(find(inputs[0]) != nullptr && find(inputs[1]) == nullptr &&
                (inputs.size() < 3 || find(inputs[2]) == nullptr),
            op,
            "has a weight that depends on the input");
    Step& step = add_step(StepKind::Product, op, output, {inputs[0]});
    step.weight = plain(inputs[1]);
    step.masked = masked_.contains(inputs[1].state().get());
    step.format = Format::Dense;
    if (op == "linear") step.weight = step.weight.reshape({step.weight.size(0), -1, 1, 1});
    if (inputs.size() > 2 && inputs[2].defined()) step.bias = plain(inputs[2]);
    if (op == "conv2d") {
      const auto at = [&](size_t i) { return std::llround(settings.at(i)); };
      step.conv = {.stride = {at(0), at(1)},
                   .padding = {at(2), at(3)},
                   .dilation = {at(4), at(5)},
                   .groups = at(6)};
    }
  }

  /// A convolution with its gate. A channel gate's saliencies multiply what batch norm makes of it:
  /// there they are taken up.
  void add_gated(const Conv2d& layer, const Variable& input, const Variable& output) {
    Step& step = add_step(StepKind::Product, "conv2d", output, {input});
    step.weight = plain(layer.weight.value);
    step.masked = layer.weight.masked();
    if (layer.bias.defined()) step.bias = plain(layer.bias.value);
    step.conv = layer.conv_options();
    step.format = Format::Dense;
    if (const auto* channels = dynamic_cast<const ChannelGate*>(layer.form.get())) {
      require(channels->has_norm() && channels->decision()->channel_rule(),
              "conv2d",
              "has a gate whose decision no kernel takes");
    }
    const auto* gate = dynamic_cast<const PositionGate*>(layer.form.get());
    if (gate == nullptr || gate->parts() == 1) return;
    const auto least = gate->decision()->least_partial_sums();
    require(least.has_value(), "conv2d", "has a gate whose decision no kernel takes");
    const auto channels = static_cast<int64_t>(least->size());
    step.gate.kind = GateKind::Positions;
    step.gate.parts = gate->parts();
    step.gate.least = Tensor::from({channels}, *least);
    step.gate.scale = Tensor::ones({channels});
  }

  void add_batch_norm(const BatchNorm& norm, const Variable& input, const Variable& output) {
    Step& step = add_step(StepKind::Affine, "batch_norm", output, {input});
    std::vector<double> scale = norm.scales();
    std::vector<double> shift = norm.shifts();
    const std::vector<double> mean = norm.running_mean.to_vector<double>();
    const std::vector<double> var = norm.running_var.to_vector<double>();
    for (size_t c = 0; c < scale.size(); ++c) {
      scale[c] /= std::sqrt(var[c] + norm.options().eps);
      shift[c] -= scale[c] * mean[c];
    }
    const Shape channels = {static_cast<int64_t>(scale.size())};
    step.weight = Tensor::from(channels, scale).to(DType::F32);
    step.bias = Tensor::from(channels, shift).to(DType::F32);
    if (norm.options().relu) step.limits.low = 0.0f;
    const auto* gate = dynamic_cast<const ChannelGate*>(norm.scaling().get());
    if (gate == nullptr) return;
    const auto rule = *gate->decision()->channel_rule();
    step.gate.kind = GateKind::Channels;
    step.gate.phi = plain(Variable(rule.phi));
    step.gate.rho = plain(Variable(rule.rho));
    step.gate.kept = rule.kept;
  }

  void add_reshape(const Variable& output, const std::vector<Variable>& inputs) {
    const int from = *find(inputs[0]);
    require(output.rank() >= 1 && output.size(0) == inputs[0].size(0), "reshape", "mixes samples");
    const int to = graph.add_value(sample_shape(output, "reshape"));
    graph.values[static_cast<size_t>(to)].storage = graph.value(from).storage;
    bind(output, to);
  }

  void add_copy(std::string_view op,
                const Variable& output,
                const std::vector<Variable>& inputs,
                const BackwardFn& backward) {
    Step& step = add_step(StepKind::Copy, op, output, inputs);
    constexpr int64_t kMostExactNumbers = 1 << 24;  // whole numbers in a float
    const int64_t size = output.numel() / output.size(0);
    require(size < kMostExactNumbers, op, "is too large");
    step.runs = learn_runs(output, inputs, backward);
    check_copied_zeros(op, output, step.runs);
  }

  /// What no run reaches must be the zero that a plan puts there.
  void check_copied_zeros(std::string_view op,
                          const Variable& output,
                          const std::vector<CopyRun>& runs) const {
    const std::vector<float> values = output.value().to_vector<float>();
    int64_t next = 0;
    const auto zeros_until = [&](int64_t end) {
      for (; next < end; ++next) {
        require(values[static_cast<size_t>(next)] == 0.0f, op, "puts in values that are not zero");
      }
    };
    for (const CopyRun& run : runs) {
      zeros_until(run.to);
      next = run.to + run.count;
    }
    zeros_until(output.numel() / output.size(0));
  }

  std::unordered_map<const Module*, std::string> names_;
  std::unordered_set<const VariableState*> masked_;  // weights
  std::vector<Module*> open_;
  CallCheck check_;
  int inside_layer_ = 0;
  std::unordered_map<const VariableState*, int> values_;
  std::vector<Variable> alive_;
};

}  // namespace

Graph trace_graph(Module& model, const Variable& input) {
  ESPALIER_CHECK(!is_quantized(model),
                 NotImplemented,
                 "compile: a network with int8 quantizers can't be compiled: a plan multiplies in "
                 "float32. Run it as it is, which uses the integer kernels");
  for (const FormSite& site : form_sites(model)) {
    ESPALIER_CHECK(site.form() == nullptr || dynamic_cast<nn::Gate*>(site.form()) != nullptr,
                   NotImplemented,
                   "compile: ",
                   site.weight,
                   " has a form; a plan multiplies with plain weights: fold_forms() first");
  }
  for (const BlockSite& site : block_sites(model)) {
    ESPALIER_CHECK(!site.block->form,
                   NotImplemented,
                   "compile: ",
                   site.name,
                   " is a gated block, which a plan can't leave out");
  }
  const EvalScope eval(model);
  const NoGrad no_grad;
  GraphTracer tracer(model);
  tracer.begin(input);
  const TraceScope scope(tracer);
  tracer.end(model(input));
  return std::move(tracer.graph);
}

}  // namespace espalier::nn::plan
