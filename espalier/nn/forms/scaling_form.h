// SPDX-License-Identifier: Apache-2.0
/// ScalingForm: a form of a convolution that goes on behind the batch norm that reads it: what it
/// decides for each sample and channel multiplies the normalized values. The two layers agree by
/// this interface alone.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <espalier/nn/forms/form.h>

namespace espalier::nn {

/// What batch norm does in evaluation, by channel: y = x * scale + shift.
struct ChannelAffine {
  std::vector<float> scale;  ///< (K)
  std::vector<float> shift;  ///< (K)
};

/// One call of a batch norm, for the form that takes it over.
struct NormCall {
  const Variable& x;         ///< the convolution's output (N,K,P,Q)
  const Variable& residual;  ///< added before the ReLU; may be undefined
  bool relu = false;         ///< apply max(.., 0) at last
  /// The layer's function in evaluation.
  std::function<ChannelAffine()> affine = {};
  /// The normalized x, with a ReLU if asked for; its scale stands still unless `learns_scale`.
  std::function<Variable(bool relu, bool learns_scale)> normalized = {};
};

/// See above.
class ScalingForm : public Form {
 public:
  /// The batch norm's output.
  virtual Variable behind_norm(const NormCall& norm) = 0;
  /// True when a batch norm calls `behind_norm`: else `product` is all.
  bool has_norm() const { return has_norm_; }

 private:
  friend class FormedNorm;
  bool has_norm_ = false;
};

/// A batch norm, as this room sees it.
class FormedNorm {
 public:
  virtual ~FormedNorm() = default;
  /// From now on asks `form`, the one of the convolution before it; null: nobody.
  void set_scaling(std::shared_ptr<ScalingForm> form) {
    if (form) form->has_norm_ = true;
    scaling_ = std::move(form);
  }
  /// Whom it asks; null: nobody.
  const std::shared_ptr<ScalingForm>& scaling() const { return scaling_; }

 protected:
  std::shared_ptr<ScalingForm> scaling_;  ///< named `scaling_->member()` in files
};

}  // namespace espalier::nn
