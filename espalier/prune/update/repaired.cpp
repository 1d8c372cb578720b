// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/update/repaired.h>

#include <algorithm>

#include <espalier/prune/sites/collapse.h>
#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

/// The work on one model.
class RepairedUpdate {
 public:
  RepairedUpdate(const UpdateParts& parts,
                 const Allocation& allocation,
                 const Subject& subject,
                 const PruneSettings& settings,
                 const Moment& moment)
      : parts_(parts),
        allocation_(allocation),
        subject_(subject),
        settings_(settings),
        moment_(moment),
        inputs_(subject.inputs),
        flow_(flow_of(subject.model, subject.inputs)),
        report_{.step = moment.step, .target = moment.sparsity} {
    calibration_batches(inputs_);
    if (inputs_.input_shape.rank() == 0) {
      inputs_.input_shape = inputs_.batch(0).images.shape().without(0);
    }
  }

  UpdateReport run() {
    const auto all = prunable_weights(subject_.model, settings_.exclude);
    for (const nn::NamedParameter& one : all) {
      report_.layers.push_back({one.name, one.parameter->numel(), one.parameter->nnz(), 0});
    }
    const std::vector<Site> sites = subject_.pattern.coupled() ? channels(all) : weights(all);
    const std::vector<int64_t> kept = units_to_keep(sites);
    check_empty_sites(flow_.get(), sites, kept, settings_);
    const std::unique_ptr<nn::Module> original =
        parts_.repair->compares() ? subject_.model.clone() : nullptr;
    const auto context = [&](const Pattern& pattern) {
      return RepairContext{subject_.model,
                           original.get(),
                           pattern,
                           inputs_,
                           settings_,
                           moment_.sparsity,
                           &report_.notes};
    };
    parts_.repair->begin(context(subject_.pattern.common()));
    const StateKeeper keeper(subject_.model);
    try {
      for (size_t s = 0; s < sites.size(); ++s) {
        repair(context(subject_.pattern.of(sites[s].name)), sites[s], kept[s]);
      }
      tell_layers(all);
      check_collapse(
          flow_.get(), [](const nn::Parameter& one) { return one.mask(); }, settings_, report_);
    } catch (...) {
      keeper.restore();
      throw;
    }
    if (!subject_.pattern.any_cells() && !subject_.pattern.coupled()) {
      report_.target_of = SparsityOf::Weights;
    }
    report_.reached = report_.sparsity();
    return std::move(report_);
  }

 private:
  /// Values, masks and buffers of a whole model, to put them back when the work fails on the way.
  class StateKeeper {
   public:
    explicit StateKeeper(nn::Module& model)
        : parameters_(model.named_parameters()), kept_(parameters_) {
      for (const nn::NamedBuffer& one : model.named_buffers()) {
        buffers_.emplace_back(one.buffer, one.buffer->clone());
      }
    }
    void restore() const {
      kept_.restore();
      for (const auto& [buffer, value] : buffers_) buffer->copy_(value);
    }

   private:
    std::vector<nn::NamedParameter> parameters_;
    WeightKeeper kept_;
    std::vector<std::pair<Tensor*, Tensor>> buffers_;
  };

  std::vector<Site> channels(const std::vector<nn::NamedParameter>& all) {
    groups_ =
        trace_channels(subject_.model, sample_of(subject_.model, inputs_)).groups(subject_.model);
    std::vector<Site> sites = channel_sites(
        subject_.model, groups_, all, parts_.sites.single_producer_only, report_.notes);
    std::erase_if(sites, [&](const Site& site) {
      const std::string refusal = parts_.repair->refusal(site);
      if (!refusal.empty())
        report_.notes.push_back(cat(site.name, " keeps its channels: ", refusal));
      return !refusal.empty();
    });
    ESPALIER_CHECK(!sites.empty(),
                   ValueError,
                   "prune: no channels of the model can be repaired: ",
                   report_.notes.empty() ? "" : report_.notes.back());
    return sites;
  }

  /// In the order in which the layers run.
  std::vector<Site> weights(const std::vector<nn::NamedParameter>& all) {
    std::vector<std::string> unread;
    const auto fitting = fitting_weights(all, subject_.pattern, report_.notes);
    std::vector<Site> sites;
    for (const auto& stage :
         calibration_stages(subject_.model, fitting, inputs_.batch(0), Stage::Layer)) {
      for (Site& site : weight_sites(stage, subject_.pattern, unread)) {
        sites.push_back(std::move(site));
      }
    }
    return sites;
  }

  std::vector<int64_t> units_to_keep(const std::vector<Site>& sites) const {
    std::vector<SiteScores> views;
    for (const Site& site : sites) {
      views.push_back({site.name, site.shape, site.units, {}, {}, {}});
    }
    std::vector<int64_t> kept = keep_of_free_sites(sites, views, allocation_, moment_.sparsity);
    for (size_t s = 0; s < sites.size(); ++s) {
      // A cell's own number stays whatever the sparsity is.
      if (sites[s].cell.size > 0) continue;
      kept[s] = std::max(kept[s], least_units(sites[s], settings_));
      if (subject_.pattern.coupled())
        kept[s] = rounded_channels(kept[s], sites[s].units, settings_);
    }
    return kept;
  }

  void repair(const RepairContext& context, const Site& site, int64_t kept) {
    const std::vector<uint8_t> alive = site.alive();
    const int64_t living = std::count(alive.begin(), alive.end(), uint8_t{1});
    if (kept >= (subject_.pattern.coupled() ? site.units : living) && site.cell.size == 0) return;
    const std::vector<uint8_t> keep = parts_.repair->repair(context, site, kept);
    if (!subject_.pattern.coupled()) return;
    const auto group = std::ranges::find(groups_, site.name, &ChannelGroup::name);
    mask_channels(subject_.model, {*group}, {keep});
  }

  void tell_layers(const std::vector<nn::NamedParameter>& all) {
    for (size_t w = 0; w < all.size(); ++w) {
      LayerReport& layer = report_.layers[w];
      layer.changed = layer.kept - all[w].parameter->nnz();
      layer.kept -= layer.changed;
    }
  }

  const UpdateParts& parts_;
  const Allocation& allocation_;
  const Subject& subject_;
  const PruneSettings& settings_;
  const Moment& moment_;
  PruneInputs inputs_;
  std::shared_ptr<const FlowGraph> flow_;
  std::vector<ChannelGroup> groups_;
  UpdateReport report_;
};

}  // namespace

UpdateReport repaired_update(const UpdateParts& parts,
                             const Allocation& allocation,
                             const Subject& subject,
                             const PruneSettings& settings,
                             const Moment& moment) {
  return RepairedUpdate(parts, allocation, subject, settings, moment).run();
}

}  // namespace espalier::prune
