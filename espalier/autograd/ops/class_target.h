// SPDX-License-Identifier: Apache-2.0
/// What the classification losses share: checking labels and spreading them to distributions. Not a
/// public interface.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::detail {

/// What of a target counts, and how much; see NllLossOptions.
struct TargetRule {
  std::vector<double> weights;  ///< by class; empty: all 1
  std::optional<int64_t> ignore;
  double smoothing = 0.0;

  /// Whether every sample counts once.
  bool plain() const { return weights.empty() && !ignore; }
  /// False for a label that doesn't count.
  bool counts(int64_t label) const { return !ignore || label != *ignore; }
  double weight(int64_t c) const { return weights.empty() ? 1.0 : weights[static_cast<size_t>(c)]; }
  /// What a mean over samples with these labels divides by.
  double total(const Tensor& labels) const;
};
/// The rule of options of `op`. Throws ShapeError unless the weights are (C) for scores (N,C),
/// TypeError unless floating, ValueError unless finite and not negative.
TargetRule target_rule(const Tensor& scores,
                       const Tensor& class_weights,
                       std::optional<int64_t> ignore,
                       double smoothing,
                       std::string_view op);
/// `target` as a plain contiguous tensor. Throws ShapeError unless it is (N) for scores (N,C),
/// TypeError unless int64, ValueError naming the first label that counts and is outside of 0..C-1,
/// and its position.
Tensor check_target(const Tensor& scores,
                    const Tensor& target,
                    const TargetRule& rule,
                    std::string_view op);
/// A tensor (N,C) without its values: what a backward function keeps.
struct ScoresMeta {
  Shape shape;
  DType dtype;
  Layout layout;
};
/// For each label t that counts, (1-s) w_t one-hot + s/C w, else zeros; scaled by `scale`, padding
/// lanes zero.
Tensor target_distribution(const ScoresMeta& scores,
                           const Tensor& labels,
                           const TargetRule& rule,
                           double scale = 1.0);
/// The sum of each row of it, (N,1), without the scale.
Tensor target_totals(const ScoresMeta& scores, const Tensor& labels, const TargetRule& rule);
/// Element (n, c) of a contiguous (N,C) tensor is at first(n) + c * step.
struct ClassRows {
  explicit ClassRows(const Tensor& scores)
      : lanes(scores.layout() == Layout::Nchw16n), classes(scores.size(1)) {}
  int64_t first(int64_t n) const {
    return lanes ? n / kLanes * classes * kLanes + n % kLanes : n * classes;
  }
  int64_t step() const { return lanes ? kLanes : 1; }
  bool lanes;
  int64_t classes;
};

}  // namespace espalier::detail
