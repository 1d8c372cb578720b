// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/graph/tracer.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/variable_state.h>
#include <espalier/core/mac_counter.h>
#include <espalier/nn/module/trace.h>

namespace espalier::nn {
namespace {

class Tracer : public OpObserver, public CallListener {
 public:
  Tracer(Module& model, const Variable& input) {
    for (const NamedModule& part : model.named_modules()) names_.emplace(part.module, part.name);
    for (const NamedParameter& one : model.named_parameters()) {
      parameters_.emplace(one.parameter->value.state().get(), one.name);
    }
    run.graph.input = add(input, {.origin = ValueOrigin::Input, .from_input = true});
  }

  void op(const ObservedOp& op) override {
    GraphOp one{.name = op.name,
                .attributes = op.attributes,
                .output = -1,
                .call = open_.empty() ? -1 : open_.back().call,
                .info = find_op(op.name)};
    bool from_input = false;
    for (const Variable& input : op.inputs) {
      one.inputs.push_back(number(input));
      from_input = from_input || (input.defined() && value(one.inputs.back()).from_input);
    }
    one.output = add(op.output,
                     {.origin = ValueOrigin::Op,
                      .made_by = static_cast<int>(run.graph.ops.size()),
                      .from_input = from_input});
    run.graph.order.push_back({.op = static_cast<int>(run.graph.ops.size())});
    run.graph.ops.push_back(std::move(one));
  }

  void enter(Module& module, const Variable& input) override {
    const auto name = names_.find(&module);
    const auto id = static_cast<int>(run.graph.calls.size());
    run.graph.calls.push_back({.name = name == names_.end() ? "" : name->second,
                               .named = name != names_.end(),
                               .module = &module,
                               .parent = open_.empty() ? -1 : open_.back().call,
                               .input = number(input)});
    run.graph.order.push_back({.call = id, .begins = true});
    open_.push_back({id, counter_.macs()});
  }
  void also_reads(Module&, const Variable& input) override {
    current().others.push_back(number(input));
  }
  void leave(Module&, const Variable&, const Variable& output) override {
    GraphCall& call = current();
    const bool known = ids_.contains(output.state().get());
    call.output = number(output);
    call.macs = counter_.macs() - open_.back().macs;
    GraphValue& made = run.graph.values[static_cast<size_t>(call.output)];
    if (!known && made.origin == ValueOrigin::Constant) {
      made.origin = ValueOrigin::Call;
      made.made_by = open_.back().call;
    }
    // An embedding's op reads the table alone: what a module makes depends on what it is given.
    if (value(call.input).from_input && made.origin != ValueOrigin::Parameter) {
      made.from_input = true;
      made.constant = {};
    }
    run.graph.order.push_back({.call = open_.back().call});
    open_.pop_back();
  }

  void end(const Variable& output) {
    run.output = output;
    run.graph.output = number(output);
  }

  TracedRun run;

 private:
  struct Open {
    int call;
    int64_t macs;  // the counter when it began
  };

  GraphCall& current() { return run.graph.calls[static_cast<size_t>(open_.back().call)]; }
  const GraphValue& value(int id) const { return run.graph.value(id); }

  int add(const Variable& variable, GraphValue made) {
    made.shape = variable.shape();
    made.dtype = variable.dtype();
    made.layout = variable.layout();
    if (!made.from_input) made.constant = variable.value();
    const auto id = static_cast<int>(run.graph.values.size());
    run.graph.values.push_back(std::move(made));
    run.values.push_back(variable);  // alive, so that no new one gets its address
    ids_.insert_or_assign(variable.state().get(), id);
    return id;
  }

  /// Of a value that is known, or a parameter or constant that nobody has read so far.
  int number(const Variable& variable) {
    if (!variable.defined()) return -1;
    const auto known = ids_.find(variable.state().get());
    if (known != ids_.end()) return known->second;
    const auto parameter = parameters_.find(variable.state().get());
    if (parameter == parameters_.end()) return add(variable, {});
    return add(variable, {.origin = ValueOrigin::Parameter, .name = parameter->second});
  }

  std::unordered_map<const Module*, std::string> names_;
  std::unordered_map<const VariableState*, std::string> parameters_;
  std::unordered_map<const VariableState*, int> ids_;
  std::vector<Open> open_;
  MacCounter counter_;
};

}  // namespace

TracedRun trace_run(Module& model, const Variable& input) {
  Tracer tracer(model, input);
  {
    const TraceScope scope(tracer, tracer);
    tracer.end(model(input));
  }
  return std::move(tracer.run);
}

NetworkGraph trace_network(Module& model, const Variable& input) {
  const EvalScope eval(model);
  const NoGrad no_grad;
  return trace_run(model, input).graph;
}

}  // namespace espalier::nn
