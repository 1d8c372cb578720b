// SPDX-License-Identifier: Apache-2.0
/// Dense convolution of one sample in plain (C,H,W) memory, pixels in the lanes: for latency, where
/// sixteen samples don't exist, and for gates that differ from sample to sample. The work can be
/// limited to lists of channels: nothing is gathered or packed for that, the lists only steer
/// pointers. Many samples run faster in `Nchw16n` (conv2d_strips.h). Not a public interface.
#pragma once

#include <span>
#include <vector>

#include <espalier/core/kernels/conv2d/planes_input.h>
#include <espalier/core/kernels/conv2d/planes_micro.h>

namespace espalier::detail {

/// Memory of one call. Other floats than those of the listed channels of `y` are not written.
struct PlanesOperands {
  const float* x;               ///< (C,H,W), with kPlanesSlack readable floats before and behind it
  const float* weight;          ///< (K,C/groups,R,S)
  const float* bias = nullptr;  ///< (K), or null
  const float* factor = nullptr;    ///< (K), or null: of the sums, bias included. Dense planes only
  const float* residual = nullptr;  ///< (K,P,Q), or null: added to the sums
  float* y;                         ///< (K,P,Q)
  PlanesLimits limits = {};         ///< of the results
};

/// Channels that take part, ascending, without repetition. A null span means all of them; an empty
/// one that does not point to null means none. With groups all channels take part.
struct PlanesChannels {
  std::span<const int32_t> in = {};   ///< of C: the others count as zero
  std::span<const int32_t> out = {};  ///< of K: the others are left alone
};

/// The dense convolution of one sample, ready to run in pieces: first the fill tasks, which arrange
/// the input in a scratch shared by all, then the tasks. Tasks of a kind are independent of each
/// other and may run in parallel; results have the same bits in any order. Thread-safe, and
/// allocates nothing after its construction.
class DensePlanes {
 public:
  explicit DensePlanes(const Conv2dShape& shape);

  /// Floats of the scratch that `fill` writes and `run` reads, 64-byte aligned; 0: none is needed.
  int64_t scratch_size() const { return input_.size(shape_.c); }

  /// Arranging the input: a task is a few input channels (of the list); none in
  /// place.
  int64_t fill_tasks(const PlanesChannels& channels = {}) const;
  void fill(int64_t task, const float* x, const PlanesChannels& channels, float* scratch) const;

  /// The arithmetic: one task for some output channels (of the list) on a part of the plane.
  int64_t tasks(const PlanesChannels& channels = {}) const;
  void run(int64_t task,
           const PlanesOperands& operands,
           const PlanesChannels& channels,
           const float* scratch) const;

  /// All of it, in the calling thread.
  void run_all(const PlanesOperands& operands,
               const PlanesChannels& channels,
               float* scratch) const;

 private:
  Conv2dShape shape_;
  TapConvolution conv_;
  PlanesInput input_;
  int64_t block_;                // output channels of a task
  int64_t parts_;                // of the plane
  int64_t group_blocks_;         // tasks along the output channels of a group
  std::vector<int32_t> all_in_;  // 0 .. C/groups
  PlanesFn kernel_ = planes_kernel();
};

}  // namespace espalier::detail
