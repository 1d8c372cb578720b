// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/conv2d_planes.h>

#include <algorithm>
#include <limits>

#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/sparse/formats/bsr.h>
#include <espalier/sparse/kept_values.h>
#include <espalier/sparse/kernels/conv2d_plan.h>

namespace espalier::sparse::detail {
namespace {

using espalier::detail::ceil_div;
using espalier::detail::PlanesGrid;
using espalier::detail::PlanesOperands;

// Products of vectors that a task has about.
constexpr int64_t kTaskProducts = 1 << 15;
constexpr int64_t kMaxRanges = 8;
// Input channels that a fill task arranges.
constexpr int64_t kFillChannels = 16;

}  // namespace

SparsePlanes::SparsePlanes(const Conv2dShape& shape,
                           const Support& support,
                           const Tensor& weight,
                           const PlanesLayout& layout)
    : shape_(shape),
      input_(espalier::detail::forward_taps(shape),
             layout.aligned && shape.options.stride == Pair(1)),
      kernel_(layout.kernel()) {
  ESPALIER_CHECK(shape.options.groups == 1,
                 ValueError,
                 "sparse planes: expects one group, got ",
                 shape.options.groups);
  ESPALIER_CHECK(shape.c * input_.channel_stride() < int64_t{1} << 31,
                 ValueError,
                 "sparse planes: the input (",
                 shape.c,
                 ", ",
                 shape.h,
                 ", ",
                 shape.w,
                 ") is too large for offsets of 32 bits");
  // Taps that meet nothing but padding are not there.
  constexpr int32_t kNoTap = std::numeric_limits<int32_t>::min();
  const int64_t area = shape.r * shape.s;
  std::vector<int32_t> tap_offsets(static_cast<size_t>(area), kNoTap);
  for (size_t t = 0; t < input_.tap_offsets().size(); ++t) {
    tap_offsets[static_cast<size_t>(input_.tap_indices()[t])] = input_.tap_offsets()[t];
  }
  const BlockedEntries entries = blocked(support, {layout.channels, 1});
  const CsrIndices& blocks = entries.indices.blocks;
  std::vector<int32_t> ranks;
  bounds_.push_back(0);
  int64_t b = 0;
  for (int64_t row = 0; row < blocks.rows; ++row) {
    for (const int32_t column : blocks.row(row)) {
      const std::span<const int32_t> of_block = entries.of_block(b++);
      const int32_t tap = tap_offsets[static_cast<size_t>(column % area)];
      if (tap == kNoTap) continue;
      offsets_.push_back(static_cast<int32_t>(column / area * input_.channel_stride() + tap));
      ranks.insert(ranks.end(), of_block.begin(), of_block.end());
    }
    bounds_.push_back(static_cast<int32_t>(offsets_.size()));
  }
  values_ = gather_values(values_of(weight, support), ranks);

  const PlanesGrid& grid = input_.grid();
  parts_ = ceil_div(grid.rows * std::min<int64_t>(2, grid.cols), kSparsePlanesRows);
  parts_ = std::clamp<int64_t>(parts_, 1, grid.rows);
  const int64_t products = values_.numel() * grid.rows * grid.cols / parts_;
  const auto rows = static_cast<int64_t>(bounds_.size()) - 1;
  ranges_ = std::clamp<int64_t>(
      products / kTaskProducts, 1, std::min(kMaxRanges, std::max<int64_t>(1, rows)));
  for (int64_t r = 0; r <= ranges_; ++r) {
    // Ranges of about equally many entries.
    const auto wanted = static_cast<int32_t>(r * static_cast<int64_t>(offsets_.size()) / ranges_);
    firsts_.push_back(std::lower_bound(bounds_.begin(), bounds_.end(), wanted) - bounds_.begin());
  }
  firsts_.front() = 0;
  firsts_.back() = rows;
}

int64_t SparsePlanes::fill_tasks() const {
  return input_.in_place() ? 0 : ceil_div(shape_.c, kFillChannels);
}

void SparsePlanes::fill(int64_t task, const float* x, float* scratch) const {
  input_.fill(x, task * kFillChannels, std::min(shape_.c, (task + 1) * kFillChannels), scratch);
}

void SparsePlanes::run(int64_t task, const PlanesOperands& operands, const float* scratch) const {
  const PlanesGrid& grid = input_.grid();
  const int64_t part = task / ranges_;
  const int64_t range = task % ranges_;
  SparsePlanesJob job;
  job.offsets = offsets_.data();
  job.values = values_.data<float>();
  job.bounds = bounds_.data();
  job.first = firsts_[static_cast<size_t>(range)];
  job.last = firsts_[static_cast<size_t>(range) + 1];
  job.channels = shape_.k;
  job.x = input_.in_place() ? operands.x : scratch;
  job.x_pitch = grid.in_pitch;
  job.y = operands.y;
  job.y_channel = shape_.p * shape_.q;
  job.y_pitch = grid.out_pitch;
  job.start = operands.bias;
  job.residual = operands.residual;
  job.first_row = part * grid.rows / parts_;
  job.last_row = (part + 1) * grid.rows / parts_;
  job.cols = grid.cols;
  job.last_positions = espalier::detail::kPlanesVector;
  if (grid.cols == 1 && job.last_row == grid.rows) {
    job.last_positions = grid.positions - (grid.rows - 1) * espalier::detail::kPlanesVector;
  }
  job.limits = operands.limits;
  kernel_(job);
}

int64_t SparsePlanes::nbytes() const {
  return values_.nbytes() +
         static_cast<int64_t>((offsets_.size() + bounds_.size()) * sizeof(int32_t));
}

}  // namespace espalier::sparse::detail
