// SPDX-License-Identifier: Apache-2.0
/// FLAP: fluctuation-based adaptive structured pruning.
///
/// Source: An, Zhao, Yu, Tang, Wang, arXiv 2312.11983, and the authors' code; see
/// scores/fluctuation.cpp and repair/mean_compensation.cpp. `allocation` global is their structure
/// AL-AM, uniform is UL-UM.
#include <espalier/prune/curvature/input_moments.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/sites/reader.h>

namespace espalier::prune::method_list {
namespace {

struct Flap {
  int64_t batches = 4;
  std::string allocation = "global";
};

std::string unread_by_one(nn::Module&, const Site& site) {
  return only_reader(site) != nullptr ? "" : "not exactly one layer reads its channels";
}

}  // namespace

Method flap() {
  return make_method<Flap>(
      {.name = "flap",
       .title = "FLAP: channels by fluctuation, with a bias for their means",
       .paper = "An, Zhao, Yu, Tang, Wang, arXiv 2312.11983",
       .year = 2023,
       .idea =
           "A channel that hardly varies can be replaced by its mean: remove the channels whose "
           "variation the next layer sees least of, and add to its bias what they gave on "
           "average.",
       .formula =
           "s_j = var(x_j) * ||W_:j||_2^2, W the layer that reads channel j, x its inputs; "
           "(s - mean) / deviation within a layer, then the lowest of all layers go; b += sum "
           "over these of W_:j mean(x_j)",
       .schedule = "start from trained weights; one update before training; with --epochs 0 that "
                   "is all; then shrink",
       .differs =
           "the variance is that of a sample of all positions (published code: a running sum "
           "around means that move, without the first text). Channels are units, not heads of "
           "attention, whose scores the published code squares. A layer "
           "without bias gives the means to the batch norm behind it. The sparsity is of all "
           "prunable weights (published: of the blocks)",
       .use_when = "Whole channels must go and no training can follow; a few batches without "
                   "labels are enough.",
       .not_when = "Some training can follow, or attention heads should go: it cuts channels "
                   "alone.",
       .patterns = {"channel"}},
      {calibration_option(&Flap::batches),
       allocation_option(&Flap::allocation, {"global", "uniform"})},
      [](const Flap& o, const PruneSettings&) -> Timeline {
        const auto moments = std::make_shared<InputMoments>(o.batches);
        return {{at(one_shot_schedule(),
                    mask_update({.score = fluctuation_score(moments),
                                 .allocation = make_allocation(o.allocation),
                                 .repair = mean_compensation(moments),
                                 .sites = {.refusal = unread_by_one}}))}};
      });
}

}  // namespace espalier::prune::method_list
