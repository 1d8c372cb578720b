// SPDX-License-Identifier: Apache-2.0
/// Sparse convolution of one sample in plain (C,H,W) memory, pixels in the lanes: by single
/// weights, or in blocks of output channels. For latency; many samples run faster in `Nchw16n`
/// (conv2d_plan.h). Not a public interface.
#pragma once

#include <espalier/core/kernels/conv2d/planes.h>
#include <espalier/sparse/kernels/conv2d_planes_code.h>
#include <espalier/sparse/kernels/conv2d_planes_micro.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse::detail {

/// Whether kept weights become instructions (PlanesCode), where the target has such.
enum class Coding : uint8_t {
  Never,
  WhereItPays,  ///< on large planes, and for enough weights of a channel
  Always,       ///< for tests
};

/// How kept weights are held for the planes kernels.
struct PlanesLayout {
  int64_t channels;            ///< output channels with one index
  bool aligned;                ///< copies of the input for aligned loads, where the stride is 1
  SparsePlanesFn (*kernel)();  ///< of the SIMD target in use
  Coding coding;
};

/// The convolution of one sample by the kept weights of (K,C,R,S), values taken at construction.
/// Runs in pieces as core's DensePlanes does: fill tasks, then tasks, each kind in any order or in
/// parallel with the same bits. Thread-safe, and allocates nothing after its construction.
class SparsePlanes {
 public:
  /// Throws ValueError for groups, and for offsets beyond 32 bits.
  SparsePlanes(const Conv2dShape& shape,
               const Support& support,
               const Tensor& weight,
               const PlanesLayout& layout);

  int64_t scratch_size() const { return input_.size(shape_.c); }
  int64_t fill_tasks() const;
  void fill(int64_t task, const float* x, float* scratch) const;
  int64_t tasks() const { return parts_ * ranges_; }
  /// `operands.weight` is not used.
  void run(int64_t task,
           const espalier::detail::PlanesOperands& operands,
           const float* scratch) const;
  /// Multiply-accumulates of a run, zeros of blocks included where these are multiplied.
  int64_t macs() const { return products_ * shape_.p * shape_.q; }
  /// Whether the weights are instructions.
  bool is_code() const { return code_ != nullptr; }
  /// Bytes of values and indices.
  int64_t nbytes() const;

 private:
  void make_code(const PlanesLayout& layout);
  void cut_rows();

  Conv2dShape shape_;
  espalier::detail::PlanesInput input_;
  std::vector<int32_t> offsets_;
  Tensor values_;
  std::vector<int32_t> bounds_;  // of rows: output channels, or blocks of them
  std::vector<int64_t> firsts_;  // row, or panel of the code, where each range begins, and the end
  int64_t ranges_ = 1;
  int64_t parts_ = 1;
  SparsePlanesFn kernel_;
  int64_t products_ = 0;                    // of a position
  std::unique_ptr<const PlanesCode> code_;  // in place of offsets, values and bounds
};

}  // namespace espalier::sparse::detail
