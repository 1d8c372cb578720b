// SPDX-License-Identifier: Apache-2.0
/// ConvGate: the part of a convolution layer that decides, for every sample, which of its products
/// to compute. The weights stay whole; each input uses a part of them. What a gate decides by is in
/// channel_gate.h and position_gate.h; putting gates on a network and telling them in files is
/// attach.h; training them is prune/methods/runtime.
///
///   in training or while traced   dense convolution, what is gated off is multiplied by zero
///   in evaluation                 what is gated off is not computed (float32, no recording), one
///                                 sample at a time in planes; fastest as a compiled plan, where
///                                 sixteen may share what any of them chose
///
/// Both give the same numbers up to rounding. In evaluation the decisions for a sample don't depend
/// on the other samples of its batch.
#pragma once

#include <map>
#include <string>

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// A part of a Conv2d (its member `gate`).
class ConvGate : public Module {
 public:
  /// What the layer computes, as the op conv2d: x (N,C,H,W) to (N,K,P,Q) in x's layout.
  virtual Variable conv2d(const Variable& x,
                          const Parameter& weight,
                          const Parameter& bias,
                          const Conv2dOptions& options) = 0;
  /// `channels` or `positions`.
  virtual std::string kind() const = 0;
  /// What, besides the layer's sizes, makes an equal gate: numbers by name.
  virtual std::map<std::string, double> settings() const = 0;

 protected:
  /// True when what is gated off may be skipped: nobody records or traces.
  bool skips(const Variable& x) const;
};

}  // namespace espalier::nn
