// SPDX-License-Identifier: Apache-2.0
/// ChannelGate: of the output channels of a convolution, those that a decision opens for this
/// sample are computed, out of the input channels that are not zero.
///
///   y = open * norm(conv(x))     behind a batch norm, before its ReLU (attach.h)
///   y = open * conv(x)           without
#pragma once

#include <espalier/nn/forms/scaling_form.h>
#include <espalier/nn/gates/gate.h>

namespace espalier::nn {

/// Held by a convolution, and by the batch norm behind it, which multiplies.
class ChannelGate : public ScalingForm, public Gate {
 public:
  /// `decision` is of the convolution's input channels, for its output channels.
  explicit ChannelGate(std::shared_ptr<Decision> decision) : Gate(std::move(decision)) {}

  void visit(MemberVisitor& visitor) override { visitor.inner(decision_); }
  std::string describe() const override;
  std::string kind() const override { return "channels"; }
  std::map<std::string, double> settings() const override { return decision_->settings(); }
  std::map<std::string, std::string> words() const override { return decision_word(); }
  std::string_view member() const override { return "gate"; }
  bool differs_by_sample() const override { return true; }
  bool replaces_product() const override { return true; }
  /// Decides, and computes the chosen channels; what `behind_norm` then needs is kept for it.
  Variable product(const Variable& x, const LayerProduct& layer) override;
  /// Channels that were left out are zero. Throws ValueError when no convolution decided before.
  Variable behind_norm(const NormCall& norm) override;

 protected:
  /// What is decided for the convolution's input x (N,C,H,W): (N,K), in x's layout.
  Variable forward(const Variable& x) override { return decide(x); }
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<ChannelGate>(*this);
  }

 private:
  Variable skip(const Variable& x, const LayerProduct& layer, Conv2dShape shape);
  Variable finish(const NormCall& norm);
  Variable boost(const Variable& y);
  Variable take_decision(const Variable& y);

  Variable open_;  // between convolution and batch norm
  bool skipped_ = false;
};

}  // namespace espalier::nn
