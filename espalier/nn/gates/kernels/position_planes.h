// SPDX-License-Identifier: Apache-2.0
/// A position-gated convolution of one sample (position_gate.h has the formula): partial sums in
/// planes (or given, with what is open), a list of positions for each output channel, and the rest
/// of the sum at these positions alone. What a PositionGate in evaluation and a step of an
/// inference plan share. Not a public interface.
#pragma once

#include <vector>

#include <espalier/core/kernels/conv2d/planes.h>
#include <espalier/core/kernels/conv2d/positions.h>
#include <espalier/core/tensor.h>

namespace espalier::nn::detail {

/// A gated convolution's parameters, all plain float32.
struct PositionGatedLayer {
  Conv2dShape shape;  ///< of one sample, groups 1
  Tensor weight;      ///< (K,C,R,S)
  int64_t parts = 1;  ///< more than 1, a divisor of K and C
};

/// What is done with the sums of one sample: y = scale (partial + open rest) + shift + residual,
/// limited; positions are open from partial sums of `least` on.
struct PositionGatedSample {
  const float* x;                ///< (C,H,W), kPlanesSlack readable floats around it
  const float* least = nullptr;  ///< (K)
  /// (K,P,Q), 1 where open: instead of `least`; y then holds the partial sums already.
  const float* open = nullptr;
  const float* scale = nullptr;     ///< (K), or null: 1
  const float* shift = nullptr;     ///< (K), or null: 0
  const float* residual = nullptr;  ///< (K,P,Q), or null
  float* y;                         ///< (K,P,Q)
  espalier::detail::PlanesLimits limits = {};
  float* scratch;  ///< scratch_floats(), 64-byte aligned
};

/// Thread-safe, and allocates nothing after its construction; `each` as for ChannelGatedPlanes.
class PositionGatedPlanes {
 public:
  explicit PositionGatedPlanes(const PositionGatedLayer& layer);

  int64_t scratch_floats() const;
  /// All of one sample; returns the multiply-accumulates that it took.
  template <class Each>
  int64_t run(const PositionGatedSample& sample, Each each) const {
    each(fill_tasks(), 2 * input_floats(), [&](int64_t task) { fill(sample, task); });
    if (sample.open == nullptr) {
      each(partial_tasks(), partial_macs(), [&](int64_t task) { add_part(sample, task); });
    }
    each(layer_.shape.k, rest_macs() / kExpectedClosed, [&](int64_t k) { add_rest(sample, k); });
    return (sample.open == nullptr ? partial_macs() : 0) + open_positions(sample) * rest_.macs();
  }
  /// At most.
  int64_t dense_macs() const { return layer_.shape.macs(); }
  int64_t nbytes() const { return layer_.weight.nbytes() + rest_.nbytes(); }

 private:
  static constexpr int64_t kExpectedClosed = 4;  // one position in so many is open, for `work`

  int64_t fill_tasks() const { return planes_.fill_tasks() + rest_.rows(); }
  void fill(const PositionGatedSample& sample, int64_t task) const;
  int64_t partial_tasks() const { return layer_.parts * tasks_of_part_; }
  void add_part(const PositionGatedSample& sample, int64_t task) const;
  void add_rest(const PositionGatedSample& sample, int64_t k) const;
  int64_t open_positions(const PositionGatedSample& sample) const;
  int64_t input_floats() const;
  int64_t list_floats() const;
  int64_t partial_macs() const { return layer_.shape.macs() / layer_.parts; }
  int64_t rest_macs() const { return layer_.shape.macs() - partial_macs(); }
  int32_t* positions(const PositionGatedSample& sample, int64_t k) const;

  PositionGatedLayer layer_;
  espalier::detail::DensePlanes planes_;
  espalier::detail::ConvAtPositions rest_;
  std::vector<std::vector<int32_t>> in_, out_;  // channels by part
  int64_t tasks_of_part_;
  int64_t rest_at_, positions_at_;  // in the scratch
};

}  // namespace espalier::nn::detail
