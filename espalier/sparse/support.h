// SPDX-License-Identifier: Apache-2.0
/// Support: which weights of a layer exist. Immutable and shared; a mask update makes a new one, so
/// whoever still runs with the old one may finish. Kernels attach their own index streams to it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <typeindex>
#include <vector>

#include <espalier/core/tensor.h>

namespace espalier::sparse {

/// The kept positions of a weight tensor.
class Support {
 public:
  /// `mask` uint8, 1 = kept, in the weight's shape; copied. Throws TypeError, or ValueError for
  /// values other than 0 and 1.
  explicit Support(const Tensor& mask);

  /// Of the weight.
  const Shape& shape() const { return mask_.shape(); }
  /// uint8, contiguous; do not write to it.
  const Tensor& mask() const { return mask_; }
  /// Kept positions.
  int64_t nnz() const { return nnz_; }
  /// All positions, kept or not.
  int64_t numel() const { return mask_.numel(); }
  /// Kept fraction of all positions; 1 for an empty weight.
  double density() const;

  /// Flat positions of the kept weights, ascending: ordered by output channel, then input channel.
  /// Built at the first call (thread-safe). Throws ValueError for a weight of 2^31 elements or
  /// more.
  const std::vector<int32_t>& kept() const;

  /// What a kernel derives from the support alone: `make()` runs at the first call with a key and
  /// its result is kept with the support (thread-safe). `key` tells uses of one type T apart.
  template <class T, class Make>
  std::shared_ptr<const T> derived(const std::vector<int64_t>& key, Make make) const {
    return std::static_pointer_cast<const T>(
        derived_erased(typeid(T), key, [&]() -> std::shared_ptr<const void> {
          return std::make_shared<const T>(make());
        }));
  }

 private:
  struct Streams;
  using MakeErased = std::function<std::shared_ptr<const void>()>;
  std::shared_ptr<const void> derived_erased(std::type_index type,
                                             const std::vector<int64_t>& key,
                                             const MakeErased& make) const;

  Tensor mask_;
  int64_t nnz_ = 0;
  std::shared_ptr<Streams> streams_;
};

/// Where a float32 or float64 weight is not zero. Throws TypeError for another type.
Support nonzero_support(const Tensor& weight);

/// A plain contiguous copy of `dense`, 0 at removed positions. Throws ShapeError for another shape
/// than the support's.
Tensor masked(const Tensor& dense, const Support& support);

/// Which gradient of a masked weight is asked for. With G = dL/d(m*w):
enum class GradRequest : uint8_t {
  Masked,  ///< G at kept positions only, 0 elsewhere: ordinary training of a sparse network
  Dense,   ///< G everywhere: SNIP, RigL growth, straight-through training, Fisher scores
};

/// What an op is told of its weight's sparsity. Without a support the weight is dense.
/// The weight's value is zero at removed positions.
struct WeightSparsity {
  std::shared_ptr<const Support> support;     ///< null: dense
  GradRequest request = GradRequest::Masked;  ///< of the backward pass
  /// For GradRequest::Masked: the weights whose gradient is asked for, where these are not the
  /// support's (more of them, in methods that let weights come back). Null: the support's.
  std::shared_ptr<const Support> gradient = nullptr;

  /// What an op is told that computes the weight's gradient.
  WeightSparsity of_gradient() const { return {gradient ? gradient : support, request}; }
};

}  // namespace espalier::sparse
