// SPDX-License-Identifier: Apache-2.0
/// TopKast: dense weights of which the largest are multiplied with, and a larger set is trained, so
/// that weights can come back. The others rest. Chosen when it is asked for, not in every pass.
///
///   e = w on A, the k largest |w|    dL/dw = dL/de on B, the m >= k largest    nothing elsewhere
///
/// Source: Jayakumar, Pascanu, Rae, Osindero, Elsen, arXiv:2106.03517.
#pragma once

#include <espalier/nn/forms/form.h>

namespace espalier::nn {

/// See above. Its buffers `forward` and `backward` (uint8, the newest choice) and `changes` are
/// saved with the network.
class TopKast : public Form {
 public:
  /// How many weights of a layer.
  struct Counts {
    int64_t forward = 0;   ///< k, multiplied with
    int64_t backward = 0;  ///< m, trained
  };
  /// Chooses among no weights yet: the first ones. Throws ValueError unless 0 <= k <= m <= all.
  TopKast(const Shape& weight, const Counts& counts);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  std::string kind() const override { return "top-kast"; }
  std::map<std::string, double> settings() const override;
  /// Of the newest choice.
  Effective effective(const Parameter& weight) override;

  /// Chooses anew; of equal weights the first, those that a mask leaves alone. Returns whether B
  /// changed. Throws ValueError as `largest_mask`.
  bool choose(const Parameter& weight);
  /// How many entries of A changed since this was last asked, from choice to choice; then
  /// forgotten.
  int64_t take_changes();
  /// 1/2 (sum over A of w^2 + n/k sum over B without A of w^2), n the weights of the layer: pulls
  /// newcomers down harder.
  Variable exploration(const Parameter& weight) const;
  /// A, uint8 in the weight's shape.
  const Tensor& forward_mask() const { return forward_; }
  /// B, uint8 in the weight's shape.
  const Tensor& backward_mask() const { return backward_; }
  /// k and m.
  const Counts& counts() const { return counts_; }

 protected:
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<TopKast>(*this); }

 private:
  Counts counts_;
  Tensor forward_;   // uint8
  Tensor backward_;  // uint8
  Tensor changes_;   // int64
  SupportOf multiplied_, trained_;
};

}  // namespace espalier::nn
