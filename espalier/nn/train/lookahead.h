// SPDX-License-Identifier: Apache-2.0
/// Lookahead: slow weights that follow those of another optimizer.
#pragma once

#include <memory>

#include <espalier/nn/train/optimizer.h>

namespace espalier::nn {

/// Settings of Lookahead.
struct LookaheadOptions {
  int64_t every = 5;   ///< updates between two looks
  double alpha = 0.5;  ///< how far the slow weights go towards the fast ones, in 0..1
};

/// Another optimizer moves the weights; after every `every` updates of a parameter slow = slow +
/// alpha * (w - slow), and w = slow. The other one's state stays what it is.
///
/// Masks: slow weights exist where weights do. A regrown entry's begins at 0, where regrown entries
/// begin too.
///
/// State: what the other keeps, and `slow`. Source: Zhang, Lucas, Hinton, Ba, arXiv:1907.08610,
/// algorithm 1.
class Lookahead : public Optimizer {
 public:
  /// Takes over the parameters and the rate of `inner`, which must not have made a step. Throws
  /// ValueError for null and for settings out of range.
  Lookahead(std::unique_ptr<Optimizer> inner, const LookaheadOptions& options = {});

 protected:
  std::vector<std::string> slot_kinds(const NamedParameter& parameter) const override;
  bool counts_entries(const NamedParameter& parameter) const override;
  void update(NamedParameter& parameter, ParameterState& state, double lr, double decay) override;

 private:
  std::unique_ptr<Optimizer> inner_;  // a rule
  LookaheadOptions options_;
};

}  // namespace espalier::nn
