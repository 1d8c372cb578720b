// SPDX-License-Identifier: Apache-2.0
/// SSL, structured sparsity learning: a group lasso whose groups are filters and input channels.
///
/// Source: Wen, Wu, Wang, Chen, Li, "Learning structured sparsity in deep neural networks", arXiv
/// 1608.03665. Of its groups, filters and channels are here, which shrinking can remove; filter
/// shapes and whole layers are not; input channels have the strength that is published for shapes.
/// No factor for the size of a group, as in the published code, which adds the subgradient to the
/// gradient, so that momentum m carries it on: a strength l moves a norm by lr l / (1 - m) a step
/// in the end, 10 lr l at 0.9. A subgradient never reaches zero, so that small weights are cut
/// after every step. The proximal step (`step proximal`) shrinks by the same lr l / (1 - m) and
/// reaches zero by itself; at large rates, where the subgradient oscillates beyond the cut, `select
/// zeros` needs it. Other optimizers than SGD have no such factor. Only groups that can go
/// physically are penalized.
#include <cmath>

#include <espalier/nn/train/sgd.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/penalty.h>
#include <espalier/prune/regularized_pruner.h>

namespace espalier::prune::method_list {
namespace {

constexpr double kCut = 1e-4;  // of the published code

struct SslOptions {
  double prune_at = 0.5;
  double filters = 3e-3;
  double channels = 3e-3;
  bool proximal = false;
  bool zeros_only = false;
  std::string allocation;
};

/// ||filters that make the channel|| * ||weights that read it||: zero when either group is.
class ChannelGroupScore : public Score {
 public:
  std::vector<Tensor> compute(const ScoreContext&) override {
    throw NotImplemented("ssl: a score of channels, not of weights");
  }

  std::vector<std::vector<double>> score_units(const ScoreContext&,
                                               std::span<const Site> sites) override {
    std::vector<std::vector<double>> scores;
    for (const Site& site : sites) {
      std::vector<double> made(static_cast<size_t>(site.units), 0.0);
      std::vector<double> read(made);
      for (const SitePart& part : site.parts) {
        if (!part.scored && part.role != SliceRole::Consumer) continue;
        const std::vector<double> norms = group_norms(*part.parameter, part.units);
        std::vector<double>& side = part.scored ? made : read;
        for (size_t u = 0; u < side.size(); ++u) side[u] = std::hypot(side[u], norms[u]);
      }
      for (size_t u = 0; u < made.size(); ++u) made[u] *= read[u];
      scores.push_back(std::move(made));
    }
    return scores;
  }
};

/// What a constant gradient of 1 moves a weight by in a step, once momentum has built up.
double lasting_rate(const nn::Optimizer& optimizer) {
  const auto* sgd = dynamic_cast<const nn::Sgd*>(&optimizer);
  if (sgd == nullptr) return optimizer.lr();
  ESPALIER_CHECK(sgd->momentum() < 1.0,
                 ValueError,
                 "prune ssl: step proximal needs a momentum below 1, got ",
                 sgd->momentum());
  return optimizer.lr() / (1.0 - sgd->momentum());
}

class SslPruner : public RegularizedPruner {
 public:
  SslPruner(SslOptions options, const PruneSettings& settings, const PruneInputs& inputs)
      : RegularizedPruner(options.prune_at, make_pattern("channel"), settings, inputs),
        options_(std::move(options)) {}

 protected:
  void add_penalty(nn::TrainState& state) override {
    if (options_.proximal) return;
    for_each_group(state, [](const SitePart& part, double strength) {
      add_group_lasso_gradient(*part.parameter, part.units, strength);
    });
  }

  void leave_step(nn::TrainState& state) override {
    const double rate = options_.proximal ? lasting_rate(state.optimizer) : 0.0;
    for_each_group(state, [&](const SitePart& part, double strength) {
      if (options_.proximal) {
        shrink_groups(*part.parameter, part.units, rate * strength);
      } else if (strength > 0.0) {
        cut_small(*part.parameter, kCut);
      }
    });
  }

  std::unique_ptr<Allocation> planned_allocation() const override {
    return options_.zeros_only ? nullptr : make_allocation(options_.allocation);
  }

  void prune(nn::TrainState& state) override {
    ChannelGroupScore score;
    remove_units(
        state,
        settings(),
        score,
        options_.zeros_only ? *threshold_allocation(0.0) : *make_allocation(options_.allocation),
        kSingleProducer);
  }

 private:
  static constexpr bool kSingleProducer = false;

  template <class Action>
  void for_each_group(nn::TrainState& state, const Action& action) {
    if (sites_.empty()) sites_ = find_sites(state, kSingleProducer);
    for (const Site& site : sites_) {
      for (const SitePart& part : site.parts) {
        if (part.scored) action(part, options_.filters);
        if (part.role == SliceRole::Consumer) action(part, options_.channels);
      }
    }
  }

  SslOptions options_;
  std::vector<Site> sites_;  // found at the first step, also of a resumed run
};

}  // namespace

Method ssl() {
  return {
      .name = "ssl",
      .title = "Structured sparsity learning",
      .paper = "Wen, Wu, Wang, Chen, Li, arXiv 1608.03665",
      .year = 2016,
      .speedup = Speedup::Structured,
      .when = When::During,
      .how = How::Learning,
      .one_shot = true,
      .global = false,
      .data_free = false,
      .idea =
          "Penalize the norms of filters and of input channels, not their squares: whole groups "
          "then go to zero while the network trains, and can be cut out.",
      .formula =
          "loss + l_n * sum over filters of ||W[n,:,:,:]||_2 + l_c * sum over input channels of "
          "||W[:,c,:,:]||_2; a channel's score is the product of the norm that makes it and the "
          "norm that reads it",
      .schedule =
          "penalty until `prune-at`, one update there, then fine-tuning without it; then shrink",
      .differs =
          "of the groups, filters and input channels are here, filter shapes and whole layers "
          "are not; input channels have the strength that is published for shapes; only groups "
          "that can go physically are penalized",
      .patterns = {"channel"},
      .options =
          {
              real_option("filter-strength",
                          3e-3,
                          0.0,
                          10.0,
                          "",
                          "l_n; with momentum m it acts 1/(1-m) times, as published"),
              real_option("channel-strength", 3e-3, 0.0, 10.0, "", "l_c, likewise"),
              choice_option("step",
                            {"subgradient", "proximal"},
                            "add to the gradient and cut weights below 1e-4, or shrink groups "
                            "after each step by as much, to exactly zero"),
              choice_option("select",
                            {"sparsity", "zeros"},
                            "remove the weakest channels down to the sparsity, or exactly those "
                            "that training brought to zero (at large rates with step proximal)"),
              allocation_option({"uniform", "global"}),
              prune_at_option(),
          },
      .make =
          [](const OptionValues& options,
             const PruneSettings& settings,
             const PruneInputs& inputs) {
            return std::make_unique<SslPruner>(
                SslOptions{.prune_at = options.real("prune-at"),
                           .filters = options.real("filter-strength"),
                           .channels = options.real("channel-strength"),
                           .proximal = options.text("step") == "proximal",
                           .zeros_only = options.text("select") == "zeros",
                           .allocation = options.text("allocation")},
                settings,
                inputs);
          },
  };
}

}  // namespace espalier::prune::method_list
