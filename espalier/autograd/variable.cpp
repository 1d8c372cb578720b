// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/variable.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/variable_state.h>

namespace espalier {
namespace {

thread_local bool recording = true;

const Variable& undefined_variable() {
  static const Variable none;
  return none;
}

/// Ties `result` to `inputs`.
void put_on_tape(const char* name,
                 const Variable& result,
                 const std::vector<Variable>& inputs,
                 BackwardFn backward) {
  std::vector<Node::Edge> edges;
  edges.reserve(inputs.size());
  for (const Variable& input : inputs) {
    Node::Edge edge;
    if (input.defined()) {
      edge.node = input.state()->producer;
      if (!edge.node && input.requires_grad()) edge.leaf = input.state();
    }
    edges.push_back(std::move(edge));
  }
  result.state()->producer = std::make_shared<Node>(name, std::move(edges), std::move(backward));
}

}  // namespace

bool is_recording() {
  return recording;
}
bool is_recorded(const std::vector<Variable>& inputs) {
  return recording &&
         std::ranges::any_of(inputs, [](const Variable& input) { return input.requires_grad(); });
}
RecordingScope::RecordingScope(bool value) : previous_(recording) {
  recording = value;
}
RecordingScope::~RecordingScope() {
  recording = previous_;
}

Variable::Variable(Tensor value, bool requires_grad) : state_(std::make_shared<VariableState>()) {
  state_->value = std::move(value);
  set_requires_grad(requires_grad);
}

const Tensor& Variable::value() const {
  ESPALIER_CHECK(defined(), ValueError, "variable: undefined, holds no tensor");
  if (state_->kept.support) state_->become_dense();
  if (!state_->value.defined()) state_->make_value();
  return state_->value;
}

Tensor& Variable::value() {
  auto& out = const_cast<Tensor&>(std::as_const(*this).value());
  state_->pending.reset();  // it may become another one
  state_->packed.reset();
  state_->gated.reset();
  return out;
}

Variable::Form Variable::form() const {
  ESPALIER_CHECK(defined(), ValueError, "variable: undefined, holds no tensor");
  if (state_->kept.support) state_->become_dense();
  return state_->form();
}

void Variable::set_value(Tensor value) {
  ESPALIER_CHECK(is_leaf(), ValueError, "set_value: only a leaf's value can be replaced");
  ESPALIER_CHECK(
      value.dtype() == dtype(), TypeError, "set_value: expects ", name(dtype()), ", got ", value);
  state_->value = std::move(value);
  state_->packed.reset();
}

bool Variable::requires_grad() const {
  return defined() && (state_->requires_grad || state_->producer != nullptr);
}

void Variable::set_requires_grad(bool wanted) {
  ESPALIER_CHECK(is_leaf(), ValueError, "set_requires_grad: expects a leaf variable");
  ESPALIER_CHECK(!wanted || is_floating(dtype()),
                 TypeError,
                 "set_requires_grad: expects float32 or float64, got ",
                 value());
  state_->requires_grad = wanted;
}

bool Variable::is_leaf() const {
  return defined() && state_->producer == nullptr;
}

const Variable& Variable::grad() const {
  return defined() && state_->grad ? *state_->grad : undefined_variable();
}

void Variable::set_grad(Variable gradient) {
  ESPALIER_CHECK(defined(), ValueError, "set_grad: undefined variable");
  ESPALIER_CHECK(!gradient.defined() || gradient.state()->shape() == shape(),
                 ShapeError,
                 "set_grad: expects shape ",
                 shape(),
                 ", got ",
                 gradient.state()->shape());
  state_->grad = gradient.defined() ? std::make_unique<Variable>(std::move(gradient)) : nullptr;
}

void Variable::zero_grad() {
  if (defined()) state_->grad.reset();
}

Variable Variable::detach() const {
  return Variable(value());
}

void Variable::register_hook(GradientHook hook) {
  ESPALIER_CHECK(requires_grad(), ValueError, "register_hook: the variable wants no gradient");
  TapeAccess::hooks(*state_).push_back(std::move(hook));
}

std::shared_ptr<Node> producer(const Variable& variable) {
  return variable.defined() ? variable.state()->producer : nullptr;
}

Variable record(const char* name,
                Tensor value,
                std::vector<Variable> inputs,
                BackwardFn backward,
                SaveOutput save) {
  Variable result(std::move(value));
  detail::observe_op(name, result, inputs);
  if (!is_recorded(inputs)) return result;
  put_on_tape(name, result, inputs, std::move(backward));
  if (save == SaveOutput::Yes) TapeAccess::save_output(result);
  return result;
}

Variable record_pending(const char* name,
                        std::shared_ptr<const PendingValue> value,
                        std::vector<Variable> inputs,
                        BackwardFn backward) {
  const auto state = std::make_shared<VariableState>();
  state->pending = std::move(value);
  Variable result(state);
  detail::observe_op(name, result, inputs);
  state->lends_pending = true;
  if (is_recorded(inputs)) put_on_tape(name, result, inputs, std::move(backward));
  return result;
}

Node::Node(const char* name, std::vector<Edge> inputs, BackwardFn backward)
    : name_(name), inputs_(std::move(inputs)), backward_(std::move(backward)) {
  static std::atomic<uint64_t> next{0};
  sequence_ = next++;
}

Node::~Node() {
  // A long chain of ops would otherwise be destroyed by recursion, as deep as the chain is long.
  thread_local std::vector<std::shared_ptr<Node>>* pending = nullptr;
  std::vector<std::shared_ptr<Node>> own;
  const bool outermost = pending == nullptr;
  if (outermost) pending = &own;
  backward_ = nullptr;
  for (Edge& edge : inputs_) {
    if (edge.node) pending->push_back(std::move(edge.node));
  }
  if (outermost) {
    while (!own.empty()) {
      std::shared_ptr<Node> node = std::move(own.back());
      own.pop_back();
      node.reset();
    }
    pending = nullptr;
  }
}

}  // namespace espalier
