// SPDX-License-Identifier: Apache-2.0
/// PendingValue: what a Variable holds until somebody asks for its value. Normalization gives a
/// number per channel to multiply by and one to add; a kernel that reads through these needs no
/// normalized tensor, and a backward function that saved the Variable keeps none. For op files.
#pragma once

#include <memory>
#include <vector>

#include <espalier/autograd/packed.h>
#include <espalier/autograd/variable.h>
#include <espalier/core/kernels/batch_norm.h>
#include <espalier/core/kernels/channel_map.h>

namespace espalier {

/// A tensor and the map through which it is read.
class PendingValue {
 public:
  /// Keeps a handle to the value of `x`, and from now on notices when it is changed in place.
  /// `mean`: of x, per channel.
  PendingValue(const Variable& x, ChannelMap map, std::vector<double> mean)
      : x_(x.value()),
        packed_(packed(x)),
        shape_(x.shape()),
        dtype_(x.dtype()),
        layout_(x.layout()),
        map_(std::move(map)),
        mean_(std::move(mean)) {}

  /// Of the value.
  const Shape& shape() const { return shape_; }
  /// Of the value.
  DType dtype() const { return dtype_; }
  /// Of the value.
  Layout layout() const { return layout_; }
  /// What to read. Throws Error when x was changed in place.
  MappedTensor mapped() const;
  /// About which sums over x are taken.
  const std::vector<double>& mean() const { return mean_; }
  /// The value, in memory of its own. Throws as `mapped`.
  Tensor make() const;
  /// The forward pass is done with the value: what is packed (packed.h) is enough from now on.
  void let_go() const {
    if (packed_) x_ = WatchedTensor();
  }

 private:
  mutable WatchedTensor x_;  // undefined once it was let go
  std::shared_ptr<const PackedTensor> packed_;
  Shape shape_;
  DType dtype_;
  Layout layout_;
  ChannelMap map_;
  std::vector<double> mean_;
};

/// A gradient of a pending value with a ReLU that is 0 already where that is 0, and its sums per
/// channel (core/kernels/batch_norm.h, gated_sums about the mean).
struct GatedGradient {
  std::shared_ptr<const PendingValue> of;  ///< the value that it is the gradient of
  ChannelSums sums;                        ///< over the gradient, and over it times x - mean
};
/// `gradient` with what is known of it. Where the value's own gradient is seen by anybody but the
/// op that made it (BackwardContext::unseen), this would be a wrong one.
Variable gated_gradient(Tensor gradient, GatedGradient gated);
/// What is known of a gradient of `of`: null where nothing is, or it was written to since.
const GatedGradient* gated(const Variable& gradient, const std::shared_ptr<const PendingValue>& of);
/// The pending value of a variable, made or not; null for others.
std::shared_ptr<const PendingValue> pending_of(const Variable& variable);

/// As `record()` (variable.h), with a value that is made when somebody asks for it.
Variable record_pending(const char* name,
                        std::shared_ptr<const PendingValue> value,
                        std::vector<Variable> inputs,
                        BackwardFn backward);

/// The value of `variable` for a kernel that reads through a map: without one where the value is
/// made. Lives as long as the variable.
MappedTensor mapped(const Variable& variable);

/// Another handle to what a pending value was made from, tied to the same op: it keeps the value of
/// `variable` out of memory. Undefined where that is not pending, or was changed in place.
Variable unmade(const Variable& variable);

}  // namespace espalier
