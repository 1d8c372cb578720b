// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/trace.h>

#include <unordered_map>
#include <utility>

#include <espalier/core/mac_counter.h>

namespace espalier::nn {
namespace {

thread_local TraceListener* current = nullptr;

bool has_channels(const Module& module) {
  const ChannelCoupling coupling = module.channel_coupling();
  return !coupling.in.empty() || !coupling.out.empty();
}

class LayerList : public TraceListener {
 public:
  explicit LayerList(Module& model) {
    for (const NamedModule& part : model.named_modules()) names_.emplace(part.module, part.name);
  }
  void enter(Module& module, const Variable&) override {
    if (has_channels(module)) open_.push_back({counter_.macs(), 0});
  }
  void leave(Module& module, const Variable& input, const Variable& output) override {
    if (!has_channels(module)) return;
    const int64_t macs = counter_.macs() - open_.back().start;
    const int64_t own = macs - open_.back().inside;
    open_.pop_back();
    if (!open_.empty()) open_.back().inside += macs;
    const auto found = names_.find(&module);
    ESPALIER_CHECK(found != names_.end(),
                   ValueError,
                   "trace: the model calls ",
                   module.describe(),
                   ", which its visit() does not name");
    calls.push_back({found->second, &module, input.shape(), output.shape(), own});
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
  MacCounter counter_;
};

}  // namespace

Variable Module::operator()(const Variable& x) {
  if (current == nullptr) return forward(x);
  TraceListener& listener = *current;
  listener.enter(*this, x);
  Variable y = forward(x);
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

TraceScope::TraceScope(TraceListener& listener)
    : previous_(std::exchange(current, &listener)), ops_(&listener) {}
TraceScope::~TraceScope() {
  current = previous_;
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
