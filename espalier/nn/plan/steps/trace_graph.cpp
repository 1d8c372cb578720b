// SPDX-License-Identifier: Apache-2.0
// trace_graph: the graph of a network becomes the graph of a plan. Layers are recognized
// by their ops, so that functions and modules are the same; only batch norm is taken as a layer,
// for its running statistics, a gated convolution, for its gate, and the gate of a block.
#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <espalier/autograd/ops/pool_check.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/gates/block_gate.h>
#include <espalier/nn/gates/channel_gate.h>
#include <espalier/nn/gates/position_gate.h>
#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/plan/steps/copy_runs.h>
#include <espalier/nn/plan/steps/graph.h>
#include <espalier/nn/quantize/quantize.h>

namespace espalier::nn::plan {
namespace {

constexpr std::string_view kSupported =
    "conv2d, linear, batch norm, relu, clamp, add, max_pool2d, avg_pool2d, adaptive_avg_pool2d, "
    "reshape, slice, pad, concat, permute";

Tensor plain(const Tensor& tensor) {
  return tensor.to(DType::F32).to(Layout::Nchw).clone();
}

/// Whether an op gives values another place and leaves them as they are; the mean of one position
/// is that position.
bool only_moves(const GraphOp& op) {
  if (op.name == "avg_pool2d") return op.attributes.pair("kernel") == Pair(1);
  return op.name == "slice" || op.name == "pad" || op.name == "concat" || op.name == "permute";
}

/// Layers whose ops are not looked at.
bool is_whole_layer(const GraphCall& call) {
  const auto* conv = dynamic_cast<const Conv2d*>(call.module);
  return dynamic_cast<const BatchNorm*>(call.module) != nullptr ||
         dynamic_cast<const BlockGate*>(call.module) != nullptr ||
         (conv != nullptr && dynamic_cast<const nn::Gate*>(conv->form.get()) != nullptr);
}

class PlanMaker {
 public:
  PlanMaker(Module& model, const NetworkGraph& network) : network_(network) {
    for (const NamedParameter& one : model.named_parameters()) {
      if (one.parameter->masked()) masked_.insert(one.name);
    }
  }

  Graph make() {
    values_[network_.input] = graph_.add_value(sample_shape(network_.input, "input"));
    for (const GraphStep& step :
         network_.steps([](const GraphCall& call) { return is_whole_layer(call); })) {
      if (step.op >= 0) {
        add_op(network_.op(step.op));
      } else if (is_whole_layer(network_.call(step.call))) {
        add_layer(network_.call(step.call));
      }
    }
    const int* value = find(network_.output);
    ESPALIER_CHECK(value != nullptr,
                   ValueError,
                   "compile: the output of the model does not depend on its input");
    graph_.output = *value;
    return std::move(graph_);
  }

 private:
  void add_layer(const GraphCall& call) {
    call_ = &call;
    if (find(call.input) == nullptr) return;
    if (const auto* norm = dynamic_cast<const BatchNorm*>(call.module)) {
      add_batch_norm(*norm, call);
    } else if (const auto* gate = dynamic_cast<const BlockGate*>(call.module)) {
      add_decision(*gate, call);
    } else {
      add_gated(dynamic_cast<const Conv2d&>(*call.module), call);
    }
  }

  void add_op(const GraphOp& op) {
    call_ = op.call < 0 ? nullptr : &network_.call(op.call);
    bool tracked = false;
    for (const int input : op.inputs) tracked = tracked || find(input) != nullptr;
    if (std::ranges::any_of(op.inputs, [&](int input) { return branches_.contains(input); })) {
      return add_join(op);
    }
    if (!tracked) return;  // a constant of the network
    if (op.name == "conv2d" || op.name == "linear") {
      add_product(op);
    } else if (op.name == "relu" || op.name == "clamp") {
      Step& step = add_step(StepKind::Clamp, op.name, op.output, op.inputs);
      const bool clamp = op.name == "clamp";
      step.limits.low = clamp ? static_cast<float>(op.attributes.number("low")) : 0.0f;
      if (clamp) step.limits.high = static_cast<float>(op.attributes.number("high"));
    } else if (op.name == "mul" && decision_of(op.inputs[1]) >= 0) {
      require(find(op.inputs[0]) != nullptr, op.name, "gates a constant");
      branches_[op.output] = {*find(op.inputs[0]), decision_of(op.inputs[1])};
    } else if (op.name == "add") {
      require(network_.value(op.inputs[0]).shape == network_.value(op.inputs[1]).shape,
              op.name,
              "of values of different shapes");
      add_step(StepKind::Add, op.name, op.output, op.inputs);
    } else if (only_moves(op)) {
      add_copy(op);
    } else if (op.name == "max_pool2d" || op.name == "avg_pool2d") {
      const StepKind kind = op.name == "max_pool2d" ? StepKind::MaxPool : StepKind::MeanPool;
      add_step(kind, op.name, op.output, op.inputs).pool =
          espalier::detail::pool_options(op.attributes);
    } else if (op.name == "adaptive_avg_pool2d") {
      add_step(StepKind::MeanPool, op.name, op.output, op.inputs);
    } else if (op.name == "reshape") {
      add_reshape(op);
    } else if (op.name == "to_layout") {
      values_[op.output] = *find(op.inputs[0]);
    } else {
      require(false, op.name, "is not supported");
    }
  }

  /// The plan's number of a value of the network; null for what does not depend on its input.
  const int* find(int value) const {
    const auto found = values_.find(value);
    return found == values_.end() ? nullptr : &found->second;
  }

  /// The dotted name of the module that runs.
  std::string where() const {
    if (call_ == nullptr) return {};
    return call_->named ? call_->name : call_->module->describe();
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

  Shape sample_shape(int id, std::string_view op) const {
    const GraphValue& value = network_.value(id);
    require(value.dtype == DType::F32, op, cat("works on ", espalier::name(value.dtype)));
    require(value.shape.rank() >= 2 && value.shape[0] >= 1, op, "gives no value of each sample");
    return value.shape.without(0);
  }

  /// The name of a layer; of an op between layers, where it stands and what it is.
  std::string step_name(std::string_view op) const {
    std::string name = where();
    const bool layer = op == "conv2d" || op == "linear" || op == "batch_norm" || op == "decision";
    if (name.empty() || !layer) name += cat(name.empty() ? "" : ".", op);
    return name;
  }

  Step& add_step(StepKind kind, std::string_view op, int output, const std::vector<int>& inputs) {
    Step step;
    step.kind = kind;
    step.name = step_name(op);
    for (const int input : inputs) {
      const int* value = find(input);
      require(value != nullptr, op, "combines the input with a constant");
      require(
          network_.value(input).shape[0] == network_.value(output).shape[0], op, "mixes samples");
      step.inputs.push_back(*value);
    }
    step.output = graph_.add_value(sample_shape(output, op));
    values_[output] = step.output;
    return graph_.steps.emplace_back(std::move(step));
  }

  Tensor constant(int value) const { return plain(network_.value(value).constant); }

  void add_product(const GraphOp& op) {
    const std::vector<int>& inputs = op.inputs;
    require(
        find(inputs[0]) != nullptr && network_.value(inputs[1]).constant.defined() &&
            (inputs.size() < 3 || inputs[2] < 0 || network_.value(inputs[2]).constant.defined()),
        op.name,
        "has a weight that depends on the input");
    Step& step = add_step(StepKind::Product, op.name, op.output, {inputs[0]});
    step.weight = constant(inputs[1]);
    step.masked = masked_.contains(network_.value(inputs[1]).name);
    step.format = Format::Dense;
    if (op.name == "linear") step.weight = step.weight.reshape({step.weight.size(0), -1, 1, 1});
    if (inputs.size() > 2 && inputs[2] >= 0) step.bias = constant(inputs[2]);
    if (op.name == "conv2d") {
      step.conv = {.stride = op.attributes.pair("stride"),
                   .padding = op.attributes.pair("padding"),
                   .dilation = op.attributes.pair("dilation"),
                   .groups = op.attributes.integer("groups")};
    }
  }

  /// A convolution with its gate. A channel gate's saliencies multiply what batch norm makes of it:
  /// there they are taken up.
  void add_gated(const Conv2d& layer, const GraphCall& call) {
    Step& step = add_step(StepKind::Product, "conv2d", call.output, {call.input});
    step.weight = plain(layer.weight.value.value());
    step.masked = layer.weight.masked();
    if (layer.bias.defined()) step.bias = plain(layer.bias.value.value());
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

  void add_batch_norm(const BatchNorm& norm, const GraphCall& call) {
    Step& step = add_step(StepKind::Affine, "batch_norm", call.output, {call.input});
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
    step.gate.phi = plain(rule.phi);
    step.gate.rho = plain(rule.rho);
    step.gate.kept = rule.kept;
  }

  void add_decision(const BlockGate& gate, const GraphCall& call) {
    const auto rule = gate.decision()->block_rule();
    require(rule.has_value(), "decision", "has a gate whose decision no kernel takes");
    Step& step = add_step(StepKind::Decision, "decision", call.output, {call.input});
    step.rule = {.weight = plain(rule->weight), .bias = plain(rule->bias), .least = rule->least};
    if (rule->hidden.defined()) {
      step.rule.hidden = plain(rule->hidden);
      step.rule.hidden_bias = plain(rule->hidden_bias);
    }
    decisions_.insert(step.output);
  }

  /// The decision that a value of the network holds, in whatever shape; -1: it holds none.
  int decision_of(int value) const {
    const int* known = find(value);
    if (known == nullptr) return -1;
    const int storage = graph_.value(*known).storage;
    return decisions_.contains(storage) ? storage : -1;
  }

  /// The sum of a shortcut and a branch that a decision multiplies.
  void add_join(const GraphOp& op) {
    require(op.name == "add" && find(op.inputs[0]) != nullptr && branches_.contains(op.inputs[1]),
            op.name,
            "reads the branch of a gated block before it is added to its shortcut");
    require(network_.value(op.inputs[0]).shape == network_.value(op.inputs[1]).shape,
            op.name,
            "of values of different shapes");
    const auto [branch, decision] = branches_.at(op.inputs[1]);
    Step& step = add_step(StepKind::Add, op.name, op.output, {op.inputs[0]});
    step.inputs.insert(step.inputs.begin(), branch);
    step.join = decision;
  }

  void add_reshape(const GraphOp& op) {
    const int from = *find(op.inputs[0]);
    const Shape& shape = network_.value(op.output).shape;
    require(shape.rank() >= 1 && shape[0] == network_.value(op.inputs[0]).shape[0],
            "reshape",
            "mixes samples");
    const int to = graph_.add_value(sample_shape(op.output, "reshape"));
    graph_.values[static_cast<size_t>(to)].storage = graph_.value(from).storage;
    values_[op.output] = to;
  }

  void add_copy(const GraphOp& op) {
    Step& step = add_step(StepKind::Copy, op.name, op.output, op.inputs);
    step.runs = runs_of(sample_sources(op));
  }

  /// Where the positions of one sample come from.
  std::vector<Source> sample_sources(const GraphOp& op) const {
    const std::vector<Shape> inputs = network_.input_shapes(op);
    const Shape& output = network_.value(op.output).shape;
    const bool zero = !op.attributes.contains("value") || op.attributes.number("value") == 0.0;
    const auto size = static_cast<size_t>(output.without(0).numel());
    std::vector<Source> sources(size);
    const std::vector<ElementSource> elements = op.sources(inputs, output);
    for (size_t i = 0; i < elements.size(); ++i) {
      const auto [input, element] = elements[i];
      if (input < 0) {
        require(zero, op.name, "puts in values that are not zero");
        continue;
      }
      const int64_t in_size = inputs[static_cast<size_t>(input)].without(0).numel();
      const int64_t at = element - static_cast<int64_t>(i / size) * in_size;
      if (i < size) sources[i] = {input, at};
      require(at >= 0 && at < in_size && sources[i % size].at == at, op.name, "mixes samples");
    }
    return sources;
  }

  const NetworkGraph& network_;
  Graph graph_;
  std::unordered_set<std::string> masked_;  // weights
  std::unordered_map<int, int> values_;
  std::unordered_set<int> decisions_;                      // values of the plan
  std::unordered_map<int, std::pair<int, int>> branches_;  // times a decision: branch and decision
  const GraphCall* call_ = nullptr;                        // in which the step at hand runs
};

}  // namespace

Graph trace_graph(Module& model, const Variable& input) {
  ESPALIER_CHECK(!is_quantized(model),
                 NotImplemented,
                 "compile: a network with int8 quantizers can't be compiled: a plan multiplies in "
                 "float32. Run it as it is, which uses the integer kernels");
  for (const FormSite& site : form_sites(model)) {
    ESPALIER_CHECK(site.form() == nullptr || site.form()->has_factors() ||
                       dynamic_cast<nn::Gate*>(site.form()) != nullptr,
                   NotImplemented,
                   "compile: ",
                   site.weight,
                   " has a form; a plan multiplies with plain weights: fold_forms() first");
  }
  for (const BlockSite& site : block_sites(model)) {
    BlockForm* form = site.block->form.get();
    ESPALIER_CHECK(form == nullptr || dynamic_cast<BlockGate*>(form) != nullptr,
                   NotImplemented,
                   "compile: ",
                   site.name,
                   " adds its branch in a way that a plan does not know: ",
                   form == nullptr ? std::string() : form->describe());
  }
  const NetworkGraph network = trace_network(model, input);
  check_calls(model, network);
  return PlanMaker(model, network).make();
}

}  // namespace espalier::nn::plan
