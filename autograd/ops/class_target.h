// SPDX-License-Identifier: Apache-2.0
/// What the classification losses share: checking labels and spreading them to distributions. Not a
/// public interface.
#pragma once

#include <string_view>

#include <espalier/core/tensor.h>

namespace espalier::detail {

/// `target` as a plain contiguous tensor. Throws ShapeError unless it is (N) for scores (N,C),
/// TypeError unless int64, ValueError naming the first label outside of 0..C-1 and its position.
Tensor check_target(const Tensor& scores, const Tensor& target, std::string_view op);
/// A tensor (N,C) without its values: what a backward function keeps.
struct ScoresMeta {
  Shape shape;
  DType dtype;
  Layout layout;
};
/// (1-s) one-hot + s/C for each label, scaled by `scale`; padding lanes zero.
Tensor target_distribution(const ScoresMeta& scores,
                           const Tensor& labels,
                           double smoothing,
                           double scale = 1.0);
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
