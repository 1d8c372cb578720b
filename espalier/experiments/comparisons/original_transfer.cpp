// SPDX-License-Identifier: Apache-2.0
/// Masks found on the task itself against masks found on another data set, and on another depth of
/// the network.
#include <map>

#include <espalier/experiments/comparisons/comparisons.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments::comparisons::list {
namespace {

const char* const kMethods[] = {"magnitude", "snip"};

/// Index of the run that only finds a mask: magnitudes of the trained network, or SNIP's scores at
/// initialization; with the method's `options`.
size_t find_mask(Plan& plan,
                 const Where& where,
                 const std::string& method,
                 double sparsity,
                 const std::map<std::string, std::string>& options = {}) {
  const bool trained = prune::method(method).when == prune::When::After;
  PlannedRun mask = trained ? plan.fine_tuned(where, method, sparsity, options)
                            : plan.pruned(where, method, sparsity, options);
  mask.settings["epochs"] = "0";
  mask.variant = "mask";
  mask.compared = false;
  return plan.add(mask);
}

/// A training from the initial weights under a mask.
PlannedRun under_mask(
    Plan& plan, const Where& where, const std::string& method, double sparsity, size_t mask) {
  PlannedRun run = plan.run(where);
  run.method = method;
  run.sparsity = sparsity;
  run.mask_of = mask;
  return run;
}

/// A mask that was shuffled within its layers says how dense each layer is and no more: the control
/// of what a transferred one brings along.
void add_data_sets(Plan& plan, int64_t seed, const std::string& method, double sparsity) {
  const std::vector<std::string> sets = {plan.scale().data, plan.scale().other_data};
  for (const std::string& source : sets) {
    const Where there = {"vgg16", source, seed};
    const size_t mask = find_mask(plan, there, method, sparsity);
    const size_t shuffled = find_mask(plan, there, method, sparsity, {{"ablation", "shuffle"}});
    for (const std::string& target : sets) {
      const Where here = {"vgg16", target, seed};
      PlannedRun run = under_mask(plan, here, method, sparsity, mask);
      run.variant = source == target ? "original" : "transfer";
      plan.add(run);
      if (source == target) continue;
      PlannedRun control = under_mask(plan, here, method, sparsity, shuffled);
      control.variant = "transfer shuffled";
      plan.add(control);
    }
  }
}

/// Elastic tickets (arXiv:2103.16547): blocks of the mask and of the initial weights that it was
/// found on are repeated or left out.
void add_depths(Plan& plan, int64_t seed, const std::string& method, double sparsity) {
  const std::vector<std::string> depths = {"resnet20", "resnet32"};
  std::vector<size_t> masks;
  std::vector<size_t> starts;
  for (const std::string& source : depths) {
    const Where where = {source, plan.scale().data, seed};
    masks.push_back(find_mask(plan, where, method, sparsity));
    PlannedRun start = plan.run(where);
    start.settings["epochs"] = "0";
    start.variant = "initial";
    start.compared = false;
    starts.push_back(plan.add(start));
  }
  for (size_t source = 0; source < depths.size(); ++source) {
    for (size_t target = 0; target < depths.size(); ++target) {
      const Where where = {depths[target], plan.scale().data, seed};
      PlannedRun run = under_mask(plan, where, method, sparsity, masks[source]);
      run.variant = source == target ? "original" : "other depth";
      if (source != target) {
        run.settings["elastic"] = "interpolate";
        run.weights_of = starts[source];
      }
      plan.add(run);
    }
  }
}

}  // namespace

Experiment original_transfer() {
  return {
      .name = "original-transfer",
      .title = "Original-task against transfer pruning",
      .section = "section 7.6",
      .what =
          "Masks are found by magnitude in a trained network, or by SNIP at initialization. "
          "Between data sets: VGG-16 with that mask is then trained from its initial weights on "
          "the same data set (original) or on the other one (transfer), there also with the mask's "
          "places shuffled within each layer, so that only the layers' densities are transferred. "
          "Between architectures: the masks of ResNet-20 and ResNet-32 are trained on the network "
          "that they were found on (original) "
          "or on the other, whose blocks then repeat or leave out blocks of the source, masks and "
          "initial weights alike (other depth: elastic ticket transformations, interpolating). The "
          "survey's own figures are of ImageNet's size.",
      .plan =
          [](Plan& plan) {
            for (const int64_t seed : plan.scale().seeds) {
              for (const double sparsity : plan.sparsities({0.9}, {0.4, 0.8, 0.9, 0.95})) {
                for (const char* method : kMethods) {
                  add_data_sets(plan, seed, method, sparsity);
                  add_depths(plan, seed, method, sparsity);
                }
              }
            }
          },
      .claims = {{.sentence =
                      "Transferred masks can do better than masks obtained on the original task.",
                  .kind = Claim::Kind::CanBeHigher,
                  .column = "variant",
                  .higher = {"transfer"},
                  .lower = {"original"},
                  .within = {"model", "data", "method", "sparsity"}},
                 {.sentence = "A ticket stretched or squeezed to another depth comes up to the one "
                              "found at that depth: the latter is not always better.",
                  .kind = Claim::Kind::NotAlwaysHigher,
                  .column = "variant",
                  .higher = {"original"},
                  .lower = {"other depth"},
                  .within = {"model", "data", "method", "sparsity"},
                  .source = "Chen et al., arXiv 2103.16547"},
                 {.sentence =
                      "A mask need not do better than the same one shuffled within its layers: "
                      "those found at initialization do not.",
                  .kind = Claim::Kind::NotAlwaysHigher,
                  .column = "variant",
                  .higher = {"transfer"},
                  .lower = {"transfer shuffled"},
                  .within = {"model", "data", "method", "sparsity"},
                  .source = "Frankle et al., arXiv 2009.08576 (there on the original task)"}},
  };
}

}  // namespace espalier::experiments::comparisons::list
