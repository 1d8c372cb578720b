// SPDX-License-Identifier: Apache-2.0
/// The best of a watched number, and how long ago it was. Not a public interface.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <string>

#include <espalier/core/tensor.h>

namespace espalier::nn::detail {

/// Remembers the best number and the epochs since.
class BestSoFar {
 public:
  /// Takes the number of another epoch: true when it is better than the best by more than
  /// `by_more_than`. The first number is; NaN never is.
  bool takes(double value, bool higher_is_better, double by_more_than = 0.0) {
    const double gain = higher_is_better ? value - best_ : best_ - value;
    const bool better = !std::isnan(value) && (!found() || gain > by_more_than);
    if (better) best_ = value;
    since_ = better ? 0 : since_ + 1;
    return better;
  }
  /// False before the first number.
  bool found() const { return !std::isnan(best_); }
  /// NaN before the first number.
  double best() const { return best_; }
  /// Numbers since the best.
  int64_t since() const { return since_; }
  /// Forgets how long ago the best was.
  void wait_anew() { since_ = 0; }

  /// For a hook's state.
  std::map<std::string, Tensor> to_tensors() const {
    return {{"best", Tensor::scalar(best_, DType::F64)},
            {"since", Tensor::from<int64_t>({}, {since_})}};
  }
  /// Throws ValueError naming `hook` when they are not there.
  void load(const std::map<std::string, Tensor>& tensors, const char* hook) {
    ESPALIER_CHECK(tensors.contains("best") && tensors.contains("since"),
                   ValueError,
                   hook,
                   ": the state has no 'best' and 'since'; is it of another hook, or another order "
                   "of hooks?");
    best_ = tensors.at("best").item();
    since_ = static_cast<int64_t>(tensors.at("since").item());
  }

 private:
  double best_ = NAN;
  int64_t since_ = 0;
};

}  // namespace espalier::nn::detail
