// SPDX-License-Identifier: Apache-2.0
/// SVD: weights as products of two thin factors.
///
/// Source: Denton, Zaremba, Bruna, LeCun, Fergus, arXiv 1404.0736 (linear layers, channels);
/// Jaderberg, Vedaldi, Zisserman, arXiv 1405.3866 (a column and a row of a kernel). The form is
/// nn/forms/low_rank.h: the layer runs the factors, a plan too, and what is counted are theirs.
#include <espalier/prune/actions/low_rank.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

enum class SvdSplit : uint8_t { Channel, Spatial };
struct Svd {
  SvdSplit split = SvdSplit::Channel;
  RankRule ranks = RankRule::Sparsity;
  double energy = 0.95;
};

}  // namespace

Method svd() {
  return make_method<Svd>(
      {.name = "svd",
       .title = "SVD: low rank by two factors",
       .paper = "Denton et al., arXiv 1404.0736; Jaderberg et al., arXiv 1405.3866",
       .year = 2014,
       .how = How::Fusion,
       .idea = "A trained weight is nearly a matrix of few ranks: keep the strongest, and run and "
               "train the layer as two small ones.",
       .formula = "W = U S V^T, the R largest singular values s stay: sqrt(S) V^T, then U sqrt(S); "
                  "||W - W_R||^2 is the sum of the other s^2. Convolutions as (T, S h w): h x w to "
                  "R channels, then 1x1; or as (S h, T w): h x 1, then 1 x w",
       .schedule = "start from trained weights; cut before the first step, then fine-tuning of the "
                   "factors, best at a low rate at first. No weight is removed: S is the share of "
                   "a layer's numbers that its factors save, or the same for all layers so that a "
                   "target is met, to one rank; the trained weight stays in the file, at rest",
       .differs = "every layer gets the ranks that fit into 1 - S of its numbers, or those of an "
                  "energy (published: chosen by hand, layer by layer); a layer of which no factors "
                  "are smaller stays whole",
       .use_when = "Any engine must run it faster: factors are plain dense layers.",
       .not_when = "Layers are thin or 1x1 already (MobileNet): their ranks are full.",
       .patterns = {"filter"}},
      {{&Svd::split, "split", {"channel", "spatial"}, "of convolutions"},
       {&Svd::ranks, "ranks", {"sparsity", "energy"}, "what says how many ranks a layer has"},
       OptionEntry<Svd>(
           &Svd::energy, "energy", {0.01, 1}, "share of the squares", "that the ranks hold")
           .needing("ranks", {"energy"})},
      [](const Svd& o, const PruneSettings&) -> Timeline {
        const auto split = o.split == SvdSplit::Spatial ? nn::LowRank::Split::Spatial
                                                        : nn::LowRank::Split::Channel;
        const auto cut = cut_into_factors({.split = split, .rule = o.ranks, .energy = o.energy});
        return {.events = {during(0.0, 1.0, cut), at(one_shot_schedule(), cut)},
                .refused = no_ablation("it has no masks that one could change")};
      });
}

}  // namespace espalier::prune::method_list
