// SPDX-License-Identifier: Apache-2.0
/// OWL: outlier weighed layerwise sparsity.
///
/// Source: Yin et al., arXiv 2310.05175, and the published code; see allocations/outliers.cpp. The
/// shares of outliers are of the dense network and of Wanda's scores, whatever chooses the weights.
/// M is 5 and lambda 0.08 in the published commands for LLaMA-7B; the right ones depend on the
/// network.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

enum class OwlCriterion : uint8_t { Wanda, SparseGpt, Magnitude };

struct Owl {
  OwlCriterion criterion = OwlCriterion::Wanda;
  double outlier = 5.0;
  double lambda = 0.08;
  int64_t batches = 4;
  int64_t norm_batches = 50;
};

UpdateParts owl_parts(const Owl& o) {
  UpdateParts parts{.allocation = outlier_allocation({.times = o.outlier, .lambda = o.lambda}),
                    .division = wanda_score(o.batches)};
  if (o.criterion == OwlCriterion::Wanda) {
    parts.score = wanda_score(o.batches);
    parts.compete_in_rows = true;
    parts.stages = Stage::Block;
  } else if (o.criterion == OwlCriterion::SparseGpt) {
    parts.repair = column_surgery({.batches = o.batches});
    parts.norm_batches = o.norm_batches;
  } else {
    parts.score = magnitude_score();
  }
  return parts;
}

}  // namespace

Method owl() {
  return make_method<Owl>(
      {.name = "owl",
       .title = "OWL: layers' sparsities by their outliers",
       .paper = "Yin et al., arXiv 2310.05175",
       .year = 2023,
       .idea = "Layers of a language model in which some weights times inputs stand far above the "
               "others are worse to prune: keep more of those, less of the others.",
       .formula = "A_ij = |w_ij| * ||x_j||_2; D_b = share of the A of block b above M times their "
                  "mean; density of b = 1 - S + r_b, r_b = 2 lambda (D_b - min D) / (max D - min "
                  "D) less its mean; inside of a layer Wanda, SparseGPT or |w| chooses",
       .schedule = "start from trained weights; one update before training; with --epochs 0 that "
                   "is all",
       .differs =
           "the sparsity of the whole is exact: the mean of r_b counts weights (published: "
           "blocks, which there are of one size), and the head and what is outside of blocks is "
           "pruned, each layer a block. Blocks of one share of outliers are alike (published "
           "code: not a number). A layer's number that does not divide by its rows is spread over "
           "them (published: rounded down in each). N:M, of which layers get other N, is not here",
       .use_when = "A transformer is pruned without training at 60 % and more, and its layers "
                   "differ in outliers.",
       .not_when = "The pattern is N:M, or the sparsity is low: there uniform layers do as "
                   "well.",
       .patterns = {"unstructured"}},
      {{&Owl::criterion,
        "criterion",
        {"wanda", "sparsegpt", "magnitude"},
        "what chooses inside of a layer; magnitude over the layer, wanda in rows"},
       {&Owl::outlier, "outlier", {0, 1e6}, "means", "M: scores above are outliers"},
       {&Owl::lambda,
        "lambda",
        {0, 0.5},
        "density",
        "twice this lies between the blocks of most and of fewest outliers"},
       calibration_option(&Owl::batches),
       OptionEntry<Owl>(&Owl::norm_batches,
                        "norm-batches",
                        {0, 1'000'000},
                        "",
                        "batches of training on which batch norm's statistics are measured again "
                        "afterwards; 0: they stay those of the dense network")
           .needing("criterion", {"sparsegpt"})},
      [](const Owl& o, const PruneSettings&) -> Timeline {
        Timeline timeline{{at(one_shot_schedule(), mask_update(owl_parts(o)))}};
        if (o.criterion == OwlCriterion::SparseGpt) {
          timeline.refused = no_ablation("its weights are made for its mask");
        }
        return timeline;
      });
}

}  // namespace espalier::prune::method_list
