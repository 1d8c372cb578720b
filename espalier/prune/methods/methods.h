// SPDX-License-Identifier: Apache-2.0
/// What a method file includes: the parts of the composition, the options that several methods
/// have, and the declarations of all methods.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/drive/method.h>
#include <espalier/prune/growth/growth.h>
#include <espalier/prune/recovery/recovery.h>
#include <espalier/prune/schedules/schedule.h>
#include <espalier/prune/scores/gradients.h>
#include <espalier/prune/scores/score.h>
#include <espalier/prune/search/walk.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune::method_list {

#define ESPALIER_METHOD(name) Method name();
#include <espalier/prune/methods.inc>
#undef ESPALIER_METHOD

/// Of methods whose score and schedule go with every pattern.
inline std::vector<std::string> every_pattern() {
  return {"unstructured", "4x1", "8x1", "kernel", "stripe", "filter", "2:4", "2:4g4", "channel"};
}

/// Every ablation refused, and why.
inline std::map<Ablation, std::string> no_ablation(const std::string& why) {
  return {{Ablation::Shuffle, why}, {Ablation::Invert, why}, {Ablation::Reinit, why}};
}

/// `allocation`, of these names.
template <class H>
OptionEntry<H> allocation_option(std::string H::*member, std::vector<std::string> names) {
  return {member, "allocation", std::move(names), "how the budget is divided between the layers"};
}
/// The names of allocations that divide a budget of weights; the default is the struct's.
inline std::vector<std::string> weight_allocations() {
  return {"global", "uniform", "uniform-dense-first", "er", "erk"};
}
/// `ratio-rule` of smart ratios.
template <class H>
OptionEntry<H> ratio_rule_option(SmartRatioRule H::*member) {
  return {member,
          "ratio-rule",
          {"residual", "plain", "linear", "cubic", "ascending", "uniform"},
          "how p_l falls: as for ResNets, as for VGG, or one of the paper's ablations (k, k^3, l^2 "
          "+ l, 1)"};
}
/// `linear-density` of smart ratios.
template <class H>
OptionEntry<H> linear_density_option(Density H::*member) {
  return {member, "linear-density", {0, 1}, "fraction kept", "of linear layers"};
}
/// `scoring-mode`.
template <class H>
OptionEntry<H> scoring_mode_option(ScoringMode H::*member) {
  return {
      member,
      "scoring-mode",
      {"eval", "train"},
      "batch norm while scoring: running statistics (eval), or those of the batch, with dropout "
      "(train)"};
}
/// `batches` that a score is averaged over.
template <class H>
OptionEntry<H> batches_option(int64_t H::*member) {
  return {member, "batches", {1, 10'000}, "batches of training data", "averaged for a score"};
}
/// `batches` to calibrate with.
template <class H>
OptionEntry<H> calibration_option(int64_t H::*member) {
  return {member,
          "batches",
          {1, 1'000'000},
          "",
          "batches of data from which the layers' inputs are known"};
}
/// `rounds` of methods that prune in several updates while training goes on.
template <class H>
OptionEntry<H> rounds_option(int64_t H::*member, double most = 1000) {
  return {member, "rounds", {1, most}, "", "updates; 1 is one-shot, more is iterative"};
}
/// `until`, the part of training over which `rounds` are spread.
template <class H>
OptionEntry<H> until_option(double H::*member) {
  return OptionEntry<H>(member,
                        "until",
                        {0, 1},
                        "fraction of training",
                        "the part of the training over which rounds are spread")
      .needing_other_than("rounds", {"1"});
}
/// Which units go after a phase of learning: the lowest, down to the sparsity, or those that
/// learning brought to a threshold, however many.
enum class Select : uint8_t { Sparsity, Threshold };
/// The allocation of a `select`: of what lies at or below `threshold`, or `of_sparsity`.
inline std::shared_ptr<Allocation> allocation_of(Select select,
                                                 double threshold,
                                                 std::shared_ptr<Allocation> of_sparsity) {
  if (select == Select::Threshold) return threshold_allocation(threshold);
  return of_sparsity;
}
/// `prune-at` of methods that regularize first.
template <class H>
OptionEntry<H> prune_at_option(double H::*member) {
  return {member,
          "prune-at",
          {0, 1},
          "fraction of training",
          "end of the regularized phase; what follows is fine-tuning"};
}
/// `rounds` of methods that train again after each (see `rounds_schedule`).
template <class H>
OptionEntry<H> training_rounds_option(int64_t H::*member) {
  return {member,
          "rounds",
          {0, 1000},
          "",
          "rounds of pruning, in which the kept part shrinks by the same factor; 0: as many as "
          "`fraction` needs"};
}
/// `fraction` removed in such a round.
template <class H>
OptionEntry<H> fraction_option(double H::*member) {
  return OptionEntry<H>(member,
                        "fraction",
                        {0.001, 1},
                        "of the weights still there",
                        "removed in a round, when `rounds` is 0")
      .needing("rounds", {"0"});
}

}  // namespace espalier::prune::method_list
