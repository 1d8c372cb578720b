// SPDX-License-Identifier: Apache-2.0
/// MorphNet: a penalty on batch norm's scales that knows what each channel costs.
///
/// Source: Gordon, Eban, Nachum, Chen, Wu, Yang, Choi, arXiv 1711.06798; published code
/// google-research/morph-net (max grouping, threshold 0.01). The second half of the method, widths
/// multiplied until the network costs as much as before, is `espalier widen` on the result, and the
/// training of what comes out is a run of its own without a method.
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/norm_scale.h>

namespace espalier::prune::method_list {
namespace {

enum class Resource : uint8_t { Macs, Params };
struct MorphNet {
  double strength = 1.0;
  Resource resource = Resource::Macs;
  double threshold = 0.01;
  Select select = Select::Sparsity;
  double prune_at = 0.5;
};

}  // namespace

Method morphnet() {
  return make_method<MorphNet>(
      {.name = "morphnet",
       .title = "MorphNet",
       .paper = "Gordon, Eban, Nachum, Chen, Wu, Yang, Choi, arXiv 1711.06798",
       .year = 2017,
       .when = When::During,
       .how = How::Learning,
       .idea = "Penalize each channel's scale with what the channel costs at this moment, so that "
               "training gives up what is dear and not needed; then make all that is left wider by "
               "one factor, until the network costs as much as before.",
       .formula = "loss + s / cost(dense) * sum over layers of C (in * sum over outputs |gamma| + "
                  "out * sum over inputs |gamma|), C the cost of one input with one output, in and "
                  "out counted where |gamma| > `threshold`; of channels tied by a sum the largest "
                  "|gamma| counts; the smallest go",
       .schedule = "penalty until `prune-at`, one update there, then fine-tuning without it. As "
                   "published: `select threshold` and `prune-at 1`, then `espalier widen --target "
                   "macs=1 --fresh all`, and a training of its own without the penalty; again, if "
                   "wanted",
       .differs =
           "as many channels go as are asked for, which have the smallest scales (published: "
           "those at or below the threshold, `select threshold`); s is in shares of the dense "
           "network's cost (published: lambda, tried around 1 / cost); channels without batch "
           "norm are free (published: a group lasso)",
       .use_when = "Widths are to be found within a budget, and layers may grow as well as "
                   "shrink.",
       .not_when = "Only one training can be afforded: the widths that it finds are to be trained "
                   "again.",
       .patterns = {"channel"}},
      {{&MorphNet::strength, "strength", {0, 1e6}, "", "s, relative to the batch's mean loss"},
       {&MorphNet::resource, "resource", {"macs", "params"}, "what a channel costs"},
       {&MorphNet::threshold, "threshold", {0, 10}, "", "a scale above it is alive"},
       {&MorphNet::select,
        "select",
        {"sparsity", "threshold"},
        "remove the smallest scales down to the sparsity (of the channels), or exactly what is at "
        "or below the threshold, whatever `sparsity` says"},
       prune_at_option(&MorphNet::prune_at)},
      [](const MorphNet& o, const PruneSettings&) -> Timeline {
        const BudgetKind kind =
            o.resource == Resource::Macs ? BudgetKind::Macs : BudgetKind::Params;
        return {
            .events =
                {during(0.0,
                        o.prune_at,
                        resource_penalty(
                            {.strength = o.strength, .threshold = o.threshold, .resource = kind})),
                 at(one_shot_schedule(o.prune_at),
                    mask_update(
                        {.score = norm_scale_score(OfNorms::Largest),
                         .allocation = allocation_of(
                             o.select, o.threshold, global_units_allocation(GlobalCount::Exact)),
                         .sites = {.refusal = without_norm_scale},
                         .min_per_layer = 1}))},
            .refused = {{Ablation::Reinit, "it regularizes before it prunes"}}};
      });
}

}  // namespace espalier::prune::method_list
