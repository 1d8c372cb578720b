// SPDX-License-Identifier: Apache-2.0
/// ThiNet: filters by what the next layer makes of them.
///
/// Source: Luo, Wu, Lin, arXiv 1707.06342; see repair/greedy_channels.cpp.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct ThiNet {
  int64_t batches = 4;
};

}  // namespace

Method thinet() {
  return make_method<ThiNet>(
      {.name = "thinet",
       .title = "ThiNet: filters by the next layer's outputs",
       .paper = "Luo, Wu, Lin, arXiv 1707.06342",
       .year = 2017,
       .idea = "Remove the channels that together add least to the outputs of the layer that reads "
               "them, and scale the others so that they make up for it.",
       .formula =
           "x_c = X_c W_c^T, what channel c adds to the next layer's outputs; the set T that "
           "goes grows by the c for which ||sum of x_j over j in T and c||^2 is least; then "
           "W_c *= beta_c of what stays, beta = argmin ||sum of all x_c - sum of beta_c "
           "x_c||^2",
       .schedule =
           "start from trained weights; one update before fine-tuning, layer by layer, each "
           "on what the pruned layers before it give; then shrink",
       .differs =
           "all positions and filters of the calibration data count, not a sample of 10 for "
           "each of 10 images of a class; there is no training between two layers (paper: "
           "an epoch or two); channels that residual sums tie together stay; of equal ones the "
           "higher index goes",
       .use_when = "A trained network must lose channels with little training: it rescales the "
                   "readers, without labels.",
       .not_when = "Layers are very wide, so that choosing channels one by one takes long, or "
                   "need different shares.",
       .patterns = {"channel"}},
      {calibration_option(&ThiNet::batches)},
      [](const ThiNet& o, const PruneSettings&) -> Timeline {
        return {.events = {at(one_shot_schedule(),
                              mask_update({.allocation = uniform_allocation(),
                                           .repair = greedy_channels(o.batches),
                                           .sites = {.single_producer_only = true}}))},
                .refused = no_ablation("its weights are made for its channels")};
      });
}

}  // namespace espalier::prune::method_list
