// SPDX-License-Identifier: Apache-2.0
/// The option-A shortcut of residual networks: a slice and a pad, without parameters.
/// Source: He et al., arXiv:1512.03385, section 3.3.
#pragma once

#include <espalier/nn/module/module.h>

namespace espalier::nn::models {

/// (N, in, H, W) to (N, before + in + after, ceil(H/stride), ceil(W/stride)): every `stride`-th
/// pixel, and zero channels on both sides. Input channel i is output channel before + i; when a
/// network shrinks, both stay or go together, so this remains a slice and a pad.
class PadShortcut : public Module {
 public:
  /// Sizes of the shortcut. `before` are the zero channels below the input's.
  struct Options {
    int64_t in = 0;
    int64_t before = 0;
    int64_t after = 0;
    int64_t stride = 2;
  };

  explicit PadShortcut(const Options& options) : options_(options) {}
  /// The paper's: the new channels split evenly, the odd one on top.
  static PadShortcut widening(int64_t in, int64_t out, int64_t stride);

  void visit(MemberVisitor&) override {}
  std::string describe() const override;
  LayerSizes sizes() const override;
  LayerSizes sizes_keeping(const KeptChannels& kept) const override;
  void set_sizes(const LayerSizes& sizes) override;

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<PadShortcut>(*this);
  }

 private:
  Options options_;
};

}  // namespace espalier::nn::models
