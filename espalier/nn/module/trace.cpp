// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/module/trace.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include <espalier/core/mac_counter.h>

namespace espalier::nn {
namespace {

thread_local CallListener* current = nullptr;

bool has_channels(const Module& module) {
  const ChannelCoupling coupling = module.channel_coupling();
  return !coupling.in.empty() || !coupling.out.empty();
}

/// The members that a module names itself.
class OwnParameters : public MemberVisitor {
 public:
  explicit OwnParameters(Module& module) { module.visit(*this); }
  void parameter(std::string_view, Parameter& parameter) override {
    if (parameter.defined()) found.push_back(&parameter);
  }
  void buffer(std::string_view, Tensor&) override {}
  void rng(std::string_view, Rng&) override {}
  void module(std::string_view, Module&) override {}

  std::vector<const Parameter*> found;
};

class LayerList : public TraceListener {
 public:
  explicit LayerList(Module& model) : check_(model) {
    for (const NamedModule& part : model.named_modules()) names_.emplace(part.module, part.name);
  }
  void op(const char* name,
          const Variable&,
          const std::vector<Variable>& inputs,
          const BackwardFn&) override {
    check_.op(name, inputs);
  }
  void enter(Module& module, const Variable&) override {
    ESPALIER_CHECK(names_.contains(&module),
                   ValueError,
                   "trace: the model calls ",
                   module.describe(),
                   ", which its visit() does not name");
    check_.enter(module);
    if (has_channels(module)) open_.push_back({counter_.macs(), 0});
  }
  void leave(Module& module, const Variable& input, const Variable& output) override {
    check_.leave();
    if (!has_channels(module)) return;
    const int64_t macs = counter_.macs() - open_.back().start;
    const int64_t own = macs - open_.back().inside;
    open_.pop_back();
    if (!open_.empty()) open_.back().inside += macs;
    calls.push_back({names_.at(&module), &module, input.shape(), output.shape(), own});
  }
  std::vector<LayerCall> calls;

 private:
  /// A layer that runs: the counter when it began, and what layers inside of it did since.
  struct Open {
    int64_t start;
    int64_t inside;
  };

  std::unordered_map<const Module*, std::string> names_;
  std::vector<Open> open_;
  CallCheck check_;
  MacCounter counter_;
};

}  // namespace

Variable Module::operator()(const Variable& x) {
  if (current == nullptr) return forward(x);
  CallListener& listener = *current;
  listener.enter(*this, x);
  Variable y = forward(x);
  listener.leave(*this, x, y);
  return y;
}

Variable Module::call(const Variable& x,
                      const std::vector<Variable>& others,
                      const std::function<Variable()>& function) {
  if (current == nullptr) return function();
  CallListener& listener = *current;
  listener.enter(*this, x);
  for (const Variable& other : others) {
    if (other.defined()) listener.also_reads(*this, other);
  }
  Variable y = function();
  listener.leave(*this, x, y);
  return y;
}

LayerSizes Module::sizes_keeping(const KeptChannels&) const {
  throw NotImplemented(cat("sizes_keeping: ", describe(), " can't change its channels"));
}

void Module::set_sizes(const LayerSizes& sizes) {
  ESPALIER_CHECK(sizes.empty(),
                 ValueError,
                 "set_sizes: ",
                 describe(),
                 " has no size named ",
                 sizes.empty() ? std::string() : sizes.begin()->first);
}

CallScope::CallScope(CallListener& listener) : previous_(std::exchange(current, &listener)) {}
CallScope::~CallScope() {
  current = previous_;
}

CallCheck::CallCheck(Module& model) {
  for (const NamedModule& part : model.named_modules()) {
    if (!has_channels(*part.module)) continue;
    for (const Parameter* own : OwnParameters(*part.module).found) {
      owners_[own->value.state().get()].push_back({part.module, part.name});
    }
  }
}

void CallCheck::op(const char* name, const std::vector<Variable>& inputs) const {
  for (const Variable& input : inputs) {
    const auto found = owners_.find(input.defined() ? input.state().get() : nullptr);
    if (found == owners_.end()) continue;
    const std::vector<Owner>& owners = found->second;
    const bool called = std::ranges::any_of(owners, [&](const Owner& owner) {
      return std::ranges::find(open_, owner.module) != open_.end();
    });
    ESPALIER_CHECK(called,
                   ValueError,
                   "trace: op '",
                   name,
                   "' reads a parameter of '",
                   owners.front().name,
                   "', ",
                   owners.front().module->describe(),
                   ", which is not being called; nobody who counts, prunes or compiles the network "
                   "would see it. Call parts as part(x), not part.forward(x)");
  }
}

EvalScope::EvalScope(Module& model) {
  for (const NamedModule& part : model.named_modules()) {
    flags_.emplace_back(part.module, part.module->training());
  }
  model.eval();
}

EvalScope::~EvalScope() {
  // train() sets a module with all its parts, parents come first: each ends with its own flag.
  for (const auto& [module, training] : flags_) module->train(training);
}

std::vector<LayerCall> trace_layers(Module& model, const Variable& input) {
  const EvalScope eval(model);
  const NoGrad no_grad;
  LayerList list(model);
  const TraceScope scope(list);
  model(input);
  return std::move(list.calls);
}

}  // namespace espalier::nn
