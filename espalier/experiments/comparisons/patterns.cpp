// SPDX-License-Identifier: Apache-2.0
/// Which pattern to choose: the same dense network loses the same share of weights in different
/// patterns, by magnitude, and trains on for the same time.
#include <cmath>

#include <fmt/format.h>

#include <espalier/experiments/comparisons/comparisons.h>

namespace espalier::experiments::comparisons::list {
namespace {

/// The share of every layer's channels that takes `sparsity` of the weights with it: a weight stays
/// where both of its channels stay.
double channels_for(double sparsity) {
  return 1.0 - std::sqrt(1.0 - sparsity);
}

void add_patterns(Plan& plan) {
  for (const int64_t seed : plan.scale().seeds) {
    for (const char* model : {"resnet20", "vgg16"}) {
      const Where where = {model, plan.scale().data, seed};
      plan.dense(where);
      for (const double sparsity : plan.sparsities({0.5, 0.9}, {0.5, 0.8, 0.9, 0.95})) {
        for (const char* pattern : {"unstructured", "4x1", "8x1", "2:4", "2:4g4", "channel"}) {
          const std::string text = pattern;
          const bool fixed = text.starts_with("2:4");
          if (fixed && sparsity != 0.5) continue;
          std::map<std::string, std::string> options = {{"pattern", text}};
          // The same share of every layer, as N:M has it: a ranking over all layers would hold one
          // allocation against another.
          if (!fixed) options["allocation"] = "uniform";
          PlannedRun run = plan.fine_tuned(where, "magnitude", sparsity, std::move(options));
          if (text == "channel")
            run.pruning["sparsity"] = fmt::format("{:.4f}", channels_for(sparsity));
          run.variant = text;
          plan.add(std::move(run));
        }
      }
    }
  }
}

Claim claim(std::string sentence, std::vector<std::string> higher, std::vector<std::string> lower) {
  return {.sentence = std::move(sentence),
          .column = "variant",
          .higher = std::move(higher),
          .lower = std::move(lower),
          .within = {"model", "data", "sparsity"}};
}

}  // namespace

Experiment patterns() {
  return {
      .name = "patterns",
      .title = "Patterns at equal sparsity: accuracy and time",
      .section = "section 3, unstructured, semi-structured and structured pruning",
      .what =
          "Magnitude pruning of one trained network in each pattern: single weights, blocks of 4 "
          "and 8 output channels, 2 of 4 input channels for each output channel or shared by 4 of "
          "them (at 50 % only), and whole channels, which are cut out. Every pattern loses about "
          "the "
          "same share of every layer and fine-tunes for as many epochs at the same rate. "
          "Accuracy is in the first table, time in the second.",
      .plan = add_patterns,
      .claims = {claim("At equal sparsity the finer pattern keeps more accuracy: single weights "
                       "before whole channels.",
                       {"unstructured"},
                       {"channel"}),
                 claim("Semi-structured patterns keep more accuracy than whole channels.",
                       {"4x1"},
                       {"channel"}),
                 claim("Single weights keep more accuracy than semi-structured patterns.",
                       {"unstructured"},
                       {"4x1"}),
                 claim("Smaller blocks keep more accuracy than larger ones.", {"4x1"}, {"8x1"})},
      .speeds = true,
      .quick = {{"resnet20", {{"epochs", "10"}}}, {"vgg16", {{"epochs", "10"}}}},
  };
}

}  // namespace espalier::experiments::comparisons::list
