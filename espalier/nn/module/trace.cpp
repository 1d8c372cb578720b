// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/module/trace.h>

#include <utility>

namespace espalier::nn {
namespace {

thread_local CallListener* current = nullptr;

class Nobody : public OpObserver {
 public:
  void op(const ObservedOp&) override {}
};

OpObserver& nobody() {
  static Nobody nobody;
  return nobody;
}

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

TraceScope::TraceScope(CallListener& listener) : TraceScope(listener, nobody()) {}

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

}  // namespace espalier::nn
