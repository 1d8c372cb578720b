// SPDX-License-Identifier: Apache-2.0
/// The direct dense tap convolution in `Nchw16n`, cut into tasks: strips of rows of one block of
/// samples, with weights packed beforehand and scratch from the caller. What the training ops and
/// an inference plan share. Not a public interface.
#pragma once

#include <vector>

#include <espalier/core/kernels/channel_map.h>
#include <espalier/core/kernels/conv2d/micro.h>
#include <espalier/core/kernels/conv2d/tap_convolution.h>

namespace espalier::detail {

/// Where a weight lies, in floats: group * g + out * k + in * c + the tap's index.
struct WeightStrides {
  int64_t group, out, in;
};
/// Of a weight (K,C/groups,R,S) in the convolution itself, and in the one that gives dx.
WeightStrides forward_strides(const Conv2dShape& shape);
WeightStrides backward_data_strides(const Conv2dShape& shape);

/// How a tap convolution is cut, and how a task of it runs. Taps must be sorted by dh (either way).
class ConvStrips {
 public:
  /// `blocks`: the most blocks of 16 samples that will run at once; few are cut finer. `mapped`: x
  /// will be read through a map.
  ConvStrips(TapConvolution conv, int64_t blocks, bool mapped = false);

  const TapConvolution& conv() const { return conv_; }
  int64_t tasks(int64_t blocks) const { return blocks * strips_; }
  /// Floats of scratch that a running task needs.
  int64_t scratch_size() const;

  /// Weights as the tiles read them: [group][block of output channels][in-channel][tap][channel in
  /// block].
  Tensor pack(const float* weight, const WeightStrides& strides) const;

  /// Where a task's outputs lie: grid rows first .. last-1 of a block of samples.
  struct Rows {
    int64_t block, first, last;
  };
  Rows rows(int64_t task) const;

  /// One task: all output channels of its rows. `bias` may be null; `x` and `y` begin with the
  /// first block.
  void run(int64_t task,
           const MappedFloats& x,
           const float* weights,
           const float* bias,
           float* y,
           float* scratch) const;

 private:
  struct Operands {
    const float* weights;
    const float* bias;
    float* y;
  };
  /// `first_channel`: of the group.
  void run_group(const MappedFloats& x,
                 int64_t first_channel,
                 const Operands& operands,
                 const Rows& rows,
                 float* scratch) const;
  void run_row(
      TileJob& job, const float* x_rows, const Operands& operands, int64_t row, int64_t c) const;

  TapConvolution conv_;
  Window window_;
  bool in_place_;  // no tap leaves a row of x, and no map: x is read where it is
  int64_t left_, cols_;
  int64_t channel_block_;  // in-channels that pass through L1 together
  int64_t strip_, strips_;
  std::vector<int64_t> offsets_;
  ConvMicroKernels kernels_;
};

}  // namespace espalier::detail
