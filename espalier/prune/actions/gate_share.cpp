// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/gate_share.h>

#include <algorithm>

#include <espalier/core/mac_counter.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/introspect/samples.h>
#include <espalier/prune/budgets/budget.h>

namespace espalier::prune {
namespace {

/// Counts what a block's branch computes.
class BranchCounter : public nn::BlockForm {
 public:
  void visit(nn::MemberVisitor&) override {}
  std::string describe() const override { return "BranchCounter"; }
  std::string kind() const override { return "branch-counter"; }
  Variable add_branch(const Variable& x,
                      const Variable& shortcut,
                      const std::function<Variable(const Variable&)>& branch) override {
    const MacCounter counter;
    const Variable y = branch(x);
    macs = counter.macs();
    return shortcut + y;
  }

  int64_t macs = 0;  // of the newest call

 protected:
  Variable forward(const Variable& x) override { return x; }
  std::unique_ptr<nn::Module> shallow_copy() const override {
    return std::make_unique<BranchCounter>(*this);
  }
};

}  // namespace

GatedCost::GatedCost(nn::Module& model,
                     const Shape& sample,
                     GateGrain grain,
                     const std::vector<std::string>& places)
    : grain_(grain) {
  const std::unique_ptr<nn::Module> dense = dense_copy(*without_forms(model));
  const nn::ModelCount count = nn::count_model(*dense, sample);
  whole_ = static_cast<double>(count.total.macs_dense);
  if (grain == GateGrain::Blocks) {
    std::map<std::string, std::shared_ptr<BranchCounter>> counters;
    for (const nn::BlockSite& site : nn::block_sites(*dense)) {
      if (std::ranges::find(places, site.name) == places.end()) continue;
      site.block->form = counters[site.name] = std::make_shared<BranchCounter>();
    }
    const NoGrad no_grad;
    dense->eval();
    (*dense)(Variable(nn::zero_samples(*dense, sample)));
    for (const auto& [name, counter] : counters) gated_[name] = static_cast<double>(counter->macs);
    return;
  }
  for (const nn::LayerCount& layer : count.layers) {
    if (std::ranges::find(places, layer.name) == places.end()) continue;
    gated_[layer.name] = static_cast<double>(layer.macs_dense);
  }
  if (grain != GateGrain::Channels) return;
  const ChannelGraph graph = trace_channels(*dense, normal_sample(*dense, sample));
  layers_ = graph.layers;
  channels_ = static_cast<size_t>(graph.channels());
}

double GatedCost::open_inputs(const LayerChannels& layer, const std::vector<double>& open) const {
  double sum = 0.0;
  for (const int32_t channel : layer.in) sum += open[static_cast<size_t>(channel)];
  return layer.in.empty() ? 1.0 : sum / static_cast<double>(layer.in.size());
}

double GatedCost::share(const std::map<std::string, double>& computed) const {
  double macs = whole_;
  if (grain_ != GateGrain::Channels) {
    for (const auto& [name, own] : gated_) macs -= own * (1.0 - computed.at(name));
    return macs / whole_;
  }
  // A channel that several layers make is closed where all of them close it; what no layer makes
  // is open.
  std::vector<double> closed(channels_, 1.0);
  std::vector<uint8_t> made(channels_, 0);
  for (const LayerChannels& layer : layers_) {
    if (layer.in == layer.out) continue;  // it only hands channels on
    const auto gate = computed.find(layer.name);
    for (const int32_t channel : layer.out) {
      const auto c = static_cast<size_t>(channel);
      closed[c] *= gate == computed.end() ? 0.0 : 1.0 - gate->second;
      made[c] = 1;
    }
  }
  std::vector<double> open;
  for (size_t c = 0; c < channels_; ++c) open.push_back(made[c] == 0 ? 1.0 : 1.0 - closed[c]);
  for (const LayerChannels& layer : layers_) {
    const auto own = gated_.find(layer.name);
    if (own == gated_.end()) continue;
    macs -= own->second * (1.0 - computed.at(layer.name) * open_inputs(layer, open));
  }
  return macs / whole_;
}

}  // namespace espalier::prune
