// SPDX-License-Identifier: Apache-2.0
/// Sparse convolution of one sample, pixels in the lanes, with the kept weights as instructions:
/// the sums of up to 28 output channels stay in registers, and a vector of the input is loaded once
/// for all weights of these that meet it. Loops can't do that, for which sums a weight adds to is
/// then a number in an instruction. AVX-512 only; everything else runs conv2d_planes_micro.h. Not a
/// public interface.
///
/// Sources: the idea of Elsen et al.'s and Wang's generated kernels (FBGEMM's SpMM, "SparseDNN",
/// arXiv 2101.07948).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <espalier/core/kernels/conv2d/planes_micro.h>
#include <espalier/core/tensor.h>
#include <espalier/sparse/kernels/machine_code.h>

namespace espalier::sparse::detail {

/// A weight that meets the input at `offset` floats from a position.
struct CodeEntry {
  int32_t channel;  ///< of the output
  int32_t offset;
  float value;
};

/// Panels [first_panel, last_panel) on the runs of 16 positions [first_run, last_run) of planes
/// with `positions` positions: y[k] = limited(start[k] + residual[k] + sum over entries of channel
/// k of value * x[offset + position]). 15 floats behind what the positions meet must be readable.
struct CodeJob {
  int64_t first_panel, last_panel;
  int64_t first_run, last_run;
  int64_t positions;
  const float* x;
  const float* start;     ///< null: zeros
  const float* residual;  ///< null: none
  float* y;
  espalier::detail::PlanesLimits limits;
};

/// The code of all weights of a layer.
class PlanesCode {
 public:
  /// Whether such code runs here: the SIMD target is AVX-512.
  static bool is_possible();
  /// `entries` in any order; zeros among them are left out. `y_channel`: floats between output
  /// channels. Null where code can't be run, or would take more room than it is worth.
  static std::unique_ptr<const PlanesCode> make(std::vector<CodeEntry> entries,
                                                int64_t channels,
                                                int64_t y_channel);

  /// Output channels are cut into panels of about equally many.
  int64_t panels() const { return static_cast<int64_t>(panels_.size()); }
  /// Of a position.
  int64_t products() const { return values_.numel(); }
  void run(const CodeJob& job) const;
  /// Of values and code.
  int64_t nbytes() const { return values_.nbytes() + static_cast<int64_t>(code_->size()); }

 private:
  struct Panel {
    int64_t first;   // channel
    size_t ends;     // among the kinds of ends
    int64_t values;  // where its values begin
    int64_t entries;
    size_t at;  // of the code
    int64_t code_bytes = 0;
  };
  // By residual (1) and mask (2): where the code of the end begins.
  struct Ends {
    int64_t channels;
    size_t at[4];
  };

  PlanesCode() = default;

  std::vector<Panel> panels_;
  std::vector<Ends> ends_;
  Tensor values_;
  int64_t y_channel_ = 0;
  std::unique_ptr<const MachineCode> code_;
};

}  // namespace espalier::sparse::detail
