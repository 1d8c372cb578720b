// SPDX-License-Identifier: Apache-2.0
/// DCP: channels by what the features and a classifier in the middle of the network want.
///
/// Source: Zhuang, Tan, Zhuang, Liu, Guo, Wu, Huang, Zhu, "Discrimination-aware channel pruning for
/// deep neural networks", arXiv 1810.11809, and its published code; see curvature/joint_loss.h and
/// repair/discriminative.cpp. As published a stage begins with 100 epochs of training at a rate of
/// 0.1: here, where pruning is one moment of a training, it is `warm-up` steps at 0.01, the rate of
/// the channels' own steps, at which a trained network keeps what it knows.
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/repair/discriminative.h>

namespace espalier::prune::method_list {
namespace {

struct Dcp {
  double lambda = 1.0;
  int64_t heads = 3;
  int64_t warmup = 100;
  double rate = 0.01;
  int64_t batches = 4;
  int64_t rounds = 0;
  double tolerance = 0.0;
};

}  // namespace

Method dcp() {
  return make_method<Dcp>(
      {.name = "dcp",
       .title = "DCP: discrimination-aware channel pruning",
       .paper = "Zhuang et al., arXiv 1810.11809",
       .year = 2018,
       .idea =
           "Channels should not only rebuild what the next layer gave, but help to tell classes "
           "apart. Take in one after another, by how much a loss of both wants its weights.",
       .formula = "L = 1/(2Q) ||O - O'||^2 + lambda L_S, O the outputs of the layer that reads the "
                  "channels, O' those of the original network, L_S the loss of a classifier at the "
                  "end of the stage, P of which are put into the network; with weights of 0 for "
                  "what is out, the channel with the largest ||dL/dW_c||_F comes in with its "
                  "original weights, and all that is in is trained for a pass",
       .schedule = "start from trained weights; one update before fine-tuning: at the beginning of "
                   "each stage network and classifier are trained, then its layers are pruned one "
                   "after another, each on what the pruned layers before it give; then shrink",
       .differs =
           "a stage begins with `warm-up` steps at a rate of 0.01 (published: 100 epochs from 0.1 "
           "on); a pass has `batches` batches (published: an epoch); classifiers are on the "
           "outputs of a layer, also inside of residual blocks; the gradient's norm is that of the "
           "paper (published code: norms of each filter's slice, summed, and L without the 1/2); "
           "channels that residual sums tie together stay",
       .use_when = "A trained network must lose channels, labels are there, and pruning may take "
                   "as long as some epochs.",
       .not_when = "Layers are very wide, so that one pass for each channel takes long, or there "
                   "are no labels.",
       .patterns = {"channel"}},
      {{&Dcp::lambda, "lambda", {0, 1e6}, "", "of the classifiers' loss; 0: features alone"},
       {&Dcp::heads, "heads", {0, 1000}, "", "P, classifiers beside the network's own"},
       {&Dcp::warmup, "warm-up", {0, 1'000'000}, "steps", "of training when a stage begins"},
       {&Dcp::rate, "rate", {0, 1}, "", "learning rate of all its steps"},
       {&Dcp::batches, "batches", {1, 1'000'000}, "", "batches of data in a pass"},
       {&Dcp::rounds,
        "rounds",
        {0, 100'000},
        "",
        "in which the channels of a layer are taken in, as many in each; 0: one by one, as "
        "published"},
       {&Dcp::tolerance,
        "tolerance",
        {0, 1},
        "of the first loss",
        "a layer that gains less by a round has enough (DCP-Adapt; the sparsity then is the "
        "least); 0: it keeps the number that it may"}},
      [](const Dcp& o, const PruneSettings&) -> Timeline {
        const JointLossOptions loss = {.lambda = o.lambda,
                                       .heads = o.heads,
                                       .warmup = o.warmup,
                                       .warmup_rate = o.rate,
                                       .sgd = {.lr = o.rate, .momentum = 0.9, .nesterov = true}};
        return {
            .events = {at(one_shot_schedule(),
                          mask_update({.allocation = uniform_allocation(),
                                       .repair = discriminative_channels({.batches = o.batches,
                                                                          .rounds = o.rounds,
                                                                          .tolerance = o.tolerance,
                                                                          .loss = loss}),
                                       .sites = {.single_producer_only = true}}))},
            .refused = no_ablation("its weights are made for its channels")};
      });
}

}  // namespace espalier::prune::method_list
