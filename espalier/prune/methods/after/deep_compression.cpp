// SPDX-License-Identifier: Apache-2.0
/// Deep Compression's training: magnitude pruning, retraining, then k-means weight sharing whose
/// centroids are fine-tuned. What it leaves, `espalier compress` writes to a small file without
/// loss.
///
/// Source: Han, Mao, Dally, arXiv 1510.00149. The paper's thresholds come from a search that a
/// default can't do; `rounds` and `allocation` give its shape.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

struct DeepCompression {
  int64_t rounds = 1;
  double share_at = 0.7;
  int64_t conv_bits = 8;
  int64_t fc_bits = 5;
  double centroid_rate = 0.01;
  std::string allocation = "global";
};

}  // namespace

Method deep_compression() {
  return make_method<DeepCompression>(
      {.name = "deep-compression",
       .title = "Deep Compression",
       .paper = "Han, Mao, Dally, arXiv 1510.00149",
       .year = 2016,
       .how = How::Fusion,
       .idea = "Prune, then let the weights that are left share a few values, then store values "
               "and positions in Huffman codes: three savings that multiply.",
       .formula = "s = |w|; the kept weights of a layer fall into 2^b clusters, min sum (w - c)^2 "
                  "from centroids at equal distances; dL/dc = sum of dL/dw over the cluster",
       .schedule = "start from trained weights; `rounds` prunings spread over the first `share-at` "
                   "of training, sharing there, then centroids alone train; `espalier compress` "
                   "writes the file",
       .differs = "one threshold over all layers and one update; the paper's are set by hand, per "
                  "layer and round",
       .use_when = "The size of the file decides: what is left shares few values and is packed by "
                   "`espalier compress`.",
       .not_when = "Only speed decides: shared values are as slow as others.",
       .patterns = {"unstructured"}},
      {rounds_option(&DeepCompression::rounds),
       {&DeepCompression::share_at,
        "share-at",
        {0, 1},
        "fraction of training",
        "clusters are fixed from here"},
       {&DeepCompression::conv_bits, "conv-bits", {1, 16}, "bits", "of a convolution's values"},
       {&DeepCompression::fc_bits, "fc-bits", {1, 16}, "bits", "of a linear layer's values"},
       {&DeepCompression::centroid_rate,
        "centroid-rate",
        {1e-9, 1000},
        "",
        "factor of centroids' gradients"},
       allocation_option(&DeepCompression::allocation, weight_allocations())},
      [](const DeepCompression& o, const PruneSettings&) -> Timeline {
        return {{at(iterative_schedule(o.rounds, o.share_at),
                    mask_update(
                        {.score = magnitude_score(), .allocation = make_allocation(o.allocation)})),
                 during(o.share_at,
                        1.0,
                        share_weights({.conv_bits = o.conv_bits,
                                       .fc_bits = o.fc_bits,
                                       .centroid_rate = o.centroid_rate}))}};
      });
}

}  // namespace espalier::prune::method_list
