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
// Bytes of input of a strip: a part of L2.
constexpr int64_t kStripBytes = 384 << 10;
constexpr int64_t kLeastStrip = 8;  // runs of 16 positions
// Code is read anew for each plane, which has to have so many runs of 16 positions.
constexpr int64_t kLeastRuns = 4;
// Fewer weights of an output channel don't pay for loading and storing its sums one by one.
constexpr int64_t kLeastEntries = 8;
// Tasks of code at least, where it has as many panels.
constexpr int64_t kTasks = 8;

bool may_be_code(const Conv2dShape& shape, const PlanesLayout& layout) {
  if (layout.coding == Coding::Never || !PlanesCode::is_possible()) return false;
  return layout.coding == Coding::Always ||
         ceil_div(shape.p * shape.q, espalier::detail::kPlanesVector) >= kLeastRuns;
}

}  // namespace

SparsePlanes::SparsePlanes(const Conv2dShape& shape,
                           const Support& support,
                           const Tensor& weight,
                           const PlanesLayout& layout)
    : shape_(shape),
      input_(espalier::detail::forward_taps(shape),
             may_be_code(shape, layout) || (layout.aligned && shape.options.stride == Pair(1))),
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

  products_ = values_.numel();
  const PlanesGrid& grid = input_.grid();
  parts_ = ceil_div(grid.rows * std::min<int64_t>(2, grid.cols), kSparsePlanesRows);
  parts_ = std::clamp<int64_t>(parts_, 1, grid.rows);
  if (may_be_code(shape, layout)) make_code(layout);
  if (code_ == nullptr) cut_rows();
}

void SparsePlanes::make_code(const PlanesLayout& layout) {
  const int64_t block = layout.channels;
  if (layout.coding == Coding::WhereItPays && values_.numel() < kLeastEntries * shape_.k) return;
  std::vector<CodeEntry> entries;
  const float* values = values_.data<float>();
  for (size_t row = 0; row + 1 < bounds_.size(); ++row) {
    for (auto i = static_cast<size_t>(bounds_[row]); i < static_cast<size_t>(bounds_[row + 1]);
         ++i) {
      for (int64_t b = 0; b < block; ++b) {
        const int64_t channel = static_cast<int64_t>(row) * block + b;
        if (channel == shape_.k) break;
        entries.push_back({.channel = static_cast<int32_t>(channel),
                           .offset = offsets_[i],
                           .value = values[static_cast<int64_t>(i) * block + b]});
      }
    }
  }
  code_ = PlanesCode::make(std::move(entries), shape_.k, shape_.p * shape_.q);
  if (code_ == nullptr) return;
  const int64_t vectors = input_.grid().rows;  // one after another, for columns have copies
  const int64_t bytes = shape_.c * input_.channel_stride() * static_cast<int64_t>(sizeof(float));
  const int64_t strip =
      std::max<int64_t>(kLeastStrip, kStripBytes * vectors / std::max<int64_t>(1, bytes));
  products_ = code_->products();
  // A task is a strip and all panels where there are strips enough for many threads.
  parts_ = std::clamp<int64_t>(ceil_div(vectors, strip), 1, vectors);
  ranges_ = std::clamp<int64_t>(ceil_div(kTasks, parts_), 1, code_->panels());
  for (int64_t r = 0; r <= ranges_; ++r) firsts_.push_back(r * code_->panels() / ranges_);
  offsets_ = {};
  bounds_ = {};
  values_ = {};
}

/// Ranges of about equally many entries.
void SparsePlanes::cut_rows() {
  const PlanesGrid& grid = input_.grid();
  const int64_t products = values_.numel() * grid.rows * grid.cols / parts_;
  const auto rows = static_cast<int64_t>(bounds_.size()) - 1;
  ranges_ = std::clamp<int64_t>(
      products / kTaskProducts, 1, std::min(kMaxRanges, std::max<int64_t>(1, rows)));
  for (int64_t r = 0; r <= ranges_; ++r) {
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
  const int64_t first = firsts_[static_cast<size_t>(range)];
  const int64_t last = firsts_[static_cast<size_t>(range) + 1];
  const float* x = input_.in_place() ? operands.x : scratch;
  const int64_t first_row = part * grid.rows / parts_;
  const int64_t last_row = (part + 1) * grid.rows / parts_;
  if (code_ != nullptr) {
    return code_->run({.first_panel = first,
                       .last_panel = last,
                       .first_run = first_row,
                       .last_run = last_row,
                       .positions = grid.positions,
                       .x = x,
                       .start = operands.bias,
                       .residual = operands.residual,
                       .y = operands.y,
                       .limits = operands.limits});
  }
  SparsePlanesJob job;
  job.offsets = offsets_.data();
  job.values = values_.data<float>();
  job.bounds = bounds_.data();
  job.first = first;
  job.last = last;
  job.channels = shape_.k;
  job.x = x;
  job.x_pitch = grid.in_pitch;
  job.y = operands.y;
  job.y_channel = shape_.p * shape_.q;
  job.y_pitch = grid.out_pitch;
  job.start = operands.bias;
  job.residual = operands.residual;
  job.first_row = first_row;
  job.last_row = last_row;
  job.cols = grid.cols;
  job.last_positions = espalier::detail::kPlanesVector;
  if (grid.cols == 1 && job.last_row == grid.rows) {
    job.last_positions = grid.positions - (grid.rows - 1) * espalier::detail::kPlanesVector;
  }
  job.limits = operands.limits;
  kernel_(job);
}

int64_t SparsePlanes::nbytes() const {
  if (code_ != nullptr) return code_->nbytes();
  return values_.nbytes() +
         static_cast<int64_t>((offsets_.size() + bounds_.size()) * sizeof(int32_t));
}

}  // namespace espalier::sparse::detail
