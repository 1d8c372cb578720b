// SPDX-License-Identifier: Apache-2.0
/// Channel pruning by LASSO regression and least squares.
///
/// Source: He, Zhang, Sun, arXiv 1707.06168; see repair/lasso.cpp.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct LassoChannels {
  int64_t batches = 4;
};

}  // namespace

Method lasso_channels() {
  return make_method<LassoChannels>(
      {.name = "lasso-channels",
       .title = "Channel pruning by LASSO and least squares",
       .paper = "He, Zhang, Sun, arXiv 1707.06168",
       .year = 2017,
       .how = How::Learning,
       .idea = "Of the channels that a layer reads, keep those from which its outputs can be "
               "rebuilt, and let least squares make the rest up.",
       .formula = "beta = argmin ||Y - sum_c beta_c X_c W_c^T||^2 / (2n) + lambda |beta|_1, lambda "
                  "so large that the fraction 1-S of the channels has beta_c != 0; then W = argmin "
                  "||Y - X W^T||^2 over these; X of the network pruned so far, Y of the original "
                  "behind its batch norm, at the end of a residual branch with the difference of "
                  "the two networks' shortcuts",
       .schedule =
           "start from trained weights; one update before fine-tuning, layer by layer; then shrink",
       .differs = "all positions of the calibration data count, not a sample; the number of "
                  "channels is exact; there is no intercept; channels that residual sums tie "
                  "together stay, so there is no channel sampler",
       .use_when = "A trained network must lose channels with little training: it fits the "
                   "readers anew, without labels.",
       .not_when = "Residual sums hold most channels, which stay, or layers need different "
                   "shares.",
       .patterns = {"channel"}},
      {calibration_option(&LassoChannels::batches)},
      [](const LassoChannels& o, const PruneSettings&) -> Timeline {
        return {.events = {at(one_shot_schedule(),
                              mask_update({.allocation = uniform_allocation(),
                                           .repair = lasso_least_squares(o.batches),
                                           .sites = {.single_producer_only = true}}))},
                .refused = no_ablation("its weights are made for its channels")};
      });
}

}  // namespace espalier::prune::method_list
