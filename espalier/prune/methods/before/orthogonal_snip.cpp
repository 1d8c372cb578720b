// SPDX-License-Identifier: Apache-2.0
/// SNIP in an orthogonal network, whose isometry is restored on what stays.
///
/// Source: Lee, Ajanthan, Gould, Torr, "A signal propagation perspective for pruning neural
/// networks at initialization", arXiv 1906.06307, and its published code. Kernels of convolutions
/// have values at all of their places (nn/module/init.h): of the other orthogonal ones, which are
/// zero but in the middle, all would be scored zero but the middle.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

enum class FirstWeights : uint8_t { Orthogonal, Present };
struct OrthogonalSnip {
  FirstWeights start = FirstWeights::Orthogonal;
  int64_t batches = 0;
  int64_t steps = 10'000;
  double rate = 0.1;
  ScoringMode mode = ScoringMode::Eval;
  std::string allocation = "global";
};

}  // namespace

Method orthogonal_snip() {
  return make_method<OrthogonalSnip>(
      {.name = "orthogonal-snip",
       .title = "SNIP from orthogonal weights, with approximate isometry",
       .paper = "Lee, Ajanthan, Gould, Torr, arXiv 1906.06307",
       .year = 2020,
       .when = When::Before,
       .idea = "How much a connection matters can be trusted where signals keep their size through "
               "all layers: start from orthogonal weights, prune, and make what is left as "
               "orthogonal as it can be.",
       .formula = "s = |w dL/dw| of the mean loss over all training data; then W - rate dR/dW on "
                  "what stays, R = ||W W' - 1||_F in each layer, W as (outputs, the rest)",
       .schedule = "orthogonal weights, one update and the repair before training; then train with "
                   "the mask fixed",
       .differs = "weights alone are scored (the published code scores biases too); the repair "
                  "ends when 100 steps have brought nothing (published: always 10000 steps; at its "
                  "rate R then goes to and fro near its least); groups of a convolution are "
                  "matrices of their own, and layers with fewer outputs than inputs get the "
                  "transpose of an orthogonal kernel (not given by the paper; ours)",
       .use_when = "Pruning comes before training and the network has no batch norm to keep "
                   "signals in size.",
       .not_when = "A trained network is there: new initial weights throw it away.",
       .patterns = every_pattern()},
      {{&OrthogonalSnip::start,
        "start",
        {"orthogonal", "present"},
        "weights: new orthogonal ones, or as they are"},
       {&OrthogonalSnip::batches,
        "batches",
        {0, 1'000'000},
        "batches of training data",
        "averaged for the score; 0: all, each once"},
       {&OrthogonalSnip::steps,
        "repair-steps",
        {0, 1e9},
        "",
        "of the repair, at most; one costs as much as two products of the weight with itself"},
       {&OrthogonalSnip::rate, "repair-rate", {1e-9, 10}, "", "of the repair's steps"},
       scoring_mode_option(&OrthogonalSnip::mode),
       allocation_option(&OrthogonalSnip::allocation, weight_allocations())},
      [](const OrthogonalSnip& o, const PruneSettings&) -> Timeline {
        Timeline timeline{
            .refused = {{Ablation::Reinit, "the weights that it leaves are a part of it"}}};
        if (o.start == FirstWeights::Orthogonal) {
          timeline.events.push_back(during(0.0, 0.0, set_weights(make_orthogonal)));
        }
        timeline.events.push_back(
            at(one_shot_schedule(),
               mask_update({.score = snip_score(o.mode, o.batches),
                            .allocation = make_allocation(o.allocation),
                            .repair = isometry_repair({.steps = o.steps, .rate = o.rate})})));
        return timeline;
      });
}

}  // namespace espalier::prune::method_list
