// SPDX-License-Identifier: Apache-2.0
// trace_graph: the graph of a network becomes the graph of a plan. Layers are recognized
// by their ops, so that functions and modules are the same; only batch norm is taken as a layer,
// for its running statistics, a gated convolution, for its gate, the gate of a block, and an
// embedding, for its ids.
#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <espalier/autograd/ops/pool_check.h>
#include <espalier/nn/gates/block_gate.h>
#include <espalier/nn/gates/channel_gate.h>
#include <espalier/nn/gates/position_gate.h>
#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/layers/embedding.h>
#include <espalier/nn/plan/steps/copy_runs.h>
#include <espalier/nn/plan/steps/graph.h>
#include <espalier/nn/plan/steps/one_sample.h>

namespace espalier::nn::plan {
namespace {

constexpr std::string_view kSupported =
    "conv2d, linear, batch norm, relu, clamp, add, max_pool2d, avg_pool2d, adaptive_avg_pool2d, "
    "reshape, slice, pad, concat, permute; and by their plain form ";

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
         dynamic_cast<const Embedding*>(call.module) != nullptr ||
         dynamic_cast<const BlockGate*>(call.module) != nullptr ||
         (conv != nullptr && dynamic_cast<const nn::Gate*>(conv->form.get()) != nullptr);
}

class PlanMaker {
 public:
  PlanMaker(Module& model, const Variable& input, const NetworkGraph& network)
      : network_(network), alone_(model, input, network) {
    for (const NamedParameter& one : model.named_parameters()) {
      if (one.parameter->masked()) masked_.insert(one.name);
    }
  }

  Graph make() {
    const DType dtype = network_.value(network_.input).dtype;
    graph_.tokens = dtype == DType::I64;
    values_[network_.input] = graph_.add_value(sample_shape(network_.input, "input", dtype));
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
    } else if (dynamic_cast<const Embedding*>(call.module) != nullptr) {
      add_plain("embedding", call.output, alone_.embedding(call));
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
    require(!graph_.tokens || op.name != "index_select",
            op.name,
            "reads ids outside of an Embedding layer");
    if (!tracked) return;  // a constant of the network
    if (op.name == "conv2d" || (op.name == "linear" && is_of_samples(op.inputs[0], 2))) {
      add_product(op);
    } else if (op.name == "relu" || op.name == "clamp") {
      Step& step = add_step(StepKind::Clamp, op.name, op.output, op.inputs);
      const bool clamp = op.name == "clamp";
      step.limits.low = clamp ? static_cast<float>(op.attributes.number("low")) : 0.0f;
      if (clamp) step.limits.high = static_cast<float>(op.attributes.number("high"));
    } else if (op.name == "mul" && decision_of(op.inputs[1]) >= 0) {
      require(find(op.inputs[0]) != nullptr, op.name, "gates a constant");
      branches_[op.output] = {*find(op.inputs[0]), decision_of(op.inputs[1])};
    } else if (op.name == "add" && all_tracked(op) &&
               network_.value(op.inputs[0]).shape == network_.value(op.inputs[1]).shape) {
      add_step(StepKind::Add, op.name, op.output, op.inputs);
    } else if (only_moves(op) && all_tracked(op)) {
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
    } else if (has_plain_form(op.name)) {
      add_plain(
          op.name, op.output, alone_.call(op, [&](int input) { return find(input) != nullptr; }));
    } else {
      require(false, op.name, "is not supported");
    }
  }

  bool all_tracked(const GraphOp& op) const {
    return std::ranges::all_of(op.inputs, [&](int input) { return find(input) != nullptr; });
  }

  /// Whether a value has one row for each sample, and this rank.
  bool is_of_samples(int value, int rank) const {
    const Shape& shape = network_.value(value).shape;
    return shape.rank() == rank && shape[0] == network_.value(network_.input).shape[0];
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
                   kSupported,
                   plain_op_names());
  }

  /// Of one sample. Where a sample has several rows of a value, as in (N*T,F), they stay.
  Shape sample_shape(int id, std::string_view op, DType dtype = DType::F32) const {
    const GraphValue& value = network_.value(id);
    const bool known = value.dtype == DType::F32 || (id == network_.input && dtype == DType::I64);
    require(known, op, cat("works on ", espalier::name(value.dtype)));
    require(value.shape.rank() >= 2 && value.shape[0] >= 1, op, "gives no value of each sample");
    const int64_t samples = network_.value(network_.input).shape[0];
    require(value.shape[0] % samples == 0, op, "mixes samples");
    Shape shape = value.shape;
    shape[0] /= samples;
    return shape[0] == 1 ? shape.without(0) : shape;
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
      step.inputs.push_back(*value);
    }
    step.output = graph_.add_value(sample_shape(output, op));
    values_[output] = step.output;
    return graph_.steps.emplace_back(std::move(step));
  }

  Tensor constant(int value) const { return plain_tensor(network_.value(value).constant); }

  /// An op by its plain form.
  void add_plain(std::string_view op, int output, const OneSample::Call& call) {
    require(call.why_not.empty(), op, call.why_not);
    std::vector<int> inputs;
    for (size_t i = 0; i < call.inputs.size(); ++i) {
      if (!call.plain.constants[i].defined()) inputs.push_back(call.inputs[i]);
    }
    Step& step = add_step(StepKind::Plain, op, output, inputs);
    step.plain = call.plain;
    step.plain.masked =
        step.plain.has_weight() && masked_.contains(network_.value(call.inputs[1]).name);
  }

  void add_product(const GraphOp& op) {
    const std::vector<int>& inputs = op.inputs;
    require(op.name == "linear" || is_of_samples(inputs[0], 4), op.name, "mixes samples");
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
    step.weight = plain_tensor(layer.weight.value.value());
    step.masked = layer.weight.masked();
    if (layer.bias.defined()) step.bias = plain_tensor(layer.bias.value.value());
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
    step.gate.phi = plain_tensor(rule.phi);
    step.gate.rho = plain_tensor(rule.rho);
    step.gate.kept = rule.kept;
  }

  void add_decision(const BlockGate& gate, const GraphCall& call) {
    const auto rule = gate.decision()->block_rule();
    require(rule.has_value(), "decision", "has a gate whose decision no kernel takes");
    Step& step = add_step(StepKind::Decision, "decision", call.output, {call.input});
    step.rule = {.weight = plain_tensor(rule->weight),
                 .bias = plain_tensor(rule->bias),
                 .least = rule->least};
    if (rule->hidden.defined()) {
      step.rule.hidden = plain_tensor(rule->hidden);
      step.rule.hidden_bias = plain_tensor(rule->hidden_bias);
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
    require(shape.rank() >= 1, "reshape", "mixes samples");
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
    const int64_t samples = network_.value(network_.input).shape[0];
    require(output[0] % samples == 0, op.name, "mixes samples");
    const auto size = static_cast<size_t>(output.numel() / samples);
    std::vector<Source> sources(size);
    const std::vector<ElementSource> elements = op.sources(inputs, output);
    for (size_t i = 0; i < elements.size(); ++i) {
      const auto [input, element] = elements[i];
      if (input < 0) {
        require(zero, op.name, "puts in values that are not zero");
        continue;
      }
      const int64_t in_size = inputs[static_cast<size_t>(input)].numel() / samples;
      const int64_t at = element - static_cast<int64_t>(i / size) * in_size;
      if (i < size) sources[i] = {input, at};
      require(at >= 0 && at < in_size && sources[i % size].at == at, op.name, "mixes samples");
    }
    return sources;
  }

  const NetworkGraph& network_;
  OneSample alone_;
  Graph graph_;
  std::unordered_set<std::string> masked_;  // weights
  std::unordered_map<int, int> values_;
  std::unordered_set<int> decisions_;                      // values of the plan
  std::unordered_map<int, std::pair<int, int>> branches_;  // times a decision: branch and decision
  const GraphCall* call_ = nullptr;                        // in which the step at hand runs
};

}  // namespace

Graph trace_graph(Module& model, const Variable& input) {
  const NetworkGraph network = trace_network(model, input);
  check_calls(model, network);
  return PlanMaker(model, input, network).make();
}

}  // namespace espalier::nn::plan
