// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/planes.h>

#include <algorithm>
#include <numeric>

#include <espalier/core/kernels/conv2d/padded.h>

namespace espalier::detail {
namespace {

// Rows of vectors of a task: below that a part of the plane isn't worth a task of its own.
constexpr int64_t kPartVectors = 24;
constexpr int64_t kMaxParts = 4;
// Input channels that a fill task arranges.
constexpr int64_t kFillChannels = 16;

}  // namespace

DensePlanes::DensePlanes(const Conv2dShape& shape)
    : shape_(shape), conv_(forward_taps(shape)), input_(conv_, false) {
  const PlanesGrid& grid = input_.grid();
  const bool small = grid.cols == 1 && grid.in_pitch == kPlanesVector && grid.rows <= 2;
  block_ = small ? kPlanesMaxChannels : kPlanesChannels;
  parts_ = std::clamp<int64_t>(grid.rows * grid.cols / kPartVectors, 1, kMaxParts);
  parts_ = std::min(parts_, grid.rows);
  group_blocks_ = ceil_div(conv_.out_channels, block_);
  all_in_.resize(static_cast<size_t>(conv_.in_channels));
  std::iota(all_in_.begin(), all_in_.end(), 0);
}

int64_t DensePlanes::fill_tasks(const PlanesChannels& channels) const {
  if (input_.in_place()) return 0;
  const bool all = channels.in.data() == nullptr;
  return ceil_div(all ? shape_.c : static_cast<int64_t>(channels.in.size()), kFillChannels);
}

void DensePlanes::fill(int64_t task,
                       const float* x,
                       const PlanesChannels& channels,
                       float* scratch) const {
  const bool all = channels.in.data() == nullptr;
  const int64_t count = all ? shape_.c : static_cast<int64_t>(channels.in.size());
  const int64_t first = task * kFillChannels;
  const int64_t last = std::min(count, first + kFillChannels);
  if (all) return input_.fill(x, first, last, scratch);
  for (int64_t i = first; i < last; ++i) {
    const int64_t c = channels.in[static_cast<size_t>(i)];
    input_.fill(x, c, c + 1, scratch);
  }
}

int64_t DensePlanes::tasks(const PlanesChannels& channels) const {
  if (channels.out.data() == nullptr) return conv_.groups * group_blocks_ * parts_;
  return ceil_div(static_cast<int64_t>(channels.out.size()), block_) * parts_;
}

void DensePlanes::run(int64_t task,
                      const PlanesOperands& operands,
                      const PlanesChannels& channels,
                      const float* scratch) const {
  const PlanesGrid& grid = input_.grid();
  const int64_t block = task / parts_;
  const int64_t part = task % parts_;
  const bool listed = channels.out.data() != nullptr;
  const int64_t group = listed ? 0 : block / group_blocks_;
  const int64_t first = (listed ? block : block % group_blocks_) * block_;
  const int64_t count = listed ? static_cast<int64_t>(channels.out.size()) : conv_.out_channels;
  const std::span<const int32_t> in =
      channels.in.data() == nullptr ? std::span<const int32_t>(all_in_) : channels.in;
  const int64_t filter = conv_.in_channels * shape_.r * shape_.s;
  const int64_t plane = shape_.p * shape_.q;

  PlanesJob job;
  job.x = (input_.in_place() ? operands.x : scratch) +
          group * conv_.in_channels * input_.channel_stride();
  job.x_channel = input_.channel_stride();
  job.x_pitch = grid.in_pitch;
  job.channels = in.data();
  job.channel_count = static_cast<int64_t>(in.size());
  job.x_offsets = input_.tap_offsets().data();
  job.weight_offsets = input_.tap_indices().data();
  job.taps = static_cast<int64_t>(input_.tap_offsets().size());
  job.weight_channel = shape_.r * shape_.s;
  job.y_pitch = grid.out_pitch;
  job.cols = grid.cols;
  job.first_row = part * grid.rows / parts_;
  job.last_row = (part + 1) * grid.rows / parts_;
  job.last_positions = kPlanesVector;
  if (grid.cols == 1 && job.last_row == grid.rows) {
    job.last_positions = grid.positions - (grid.rows - 1) * kPlanesVector;
  }
  job.limits = operands.limits;
  const auto channels_here = static_cast<int>(std::min(block_, count - first));
  for (int b = 0; b < channels_here; ++b) {
    const int64_t k = listed ? channels.out[static_cast<size_t>(first + b)]
                             : group * conv_.out_channels + first + b;
    job.weight[b] = operands.weight + k * filter;
    job.start[b] = operands.bias == nullptr ? 0.0f : operands.bias[k];
    job.factor[b] = operands.factor == nullptr ? 1.0f : operands.factor[k];
    job.residual[b] = operands.residual == nullptr ? nullptr : operands.residual + k * plane;
    job.y[b] = operands.y + k * plane;
  }
  kernel_(job, channels_here);
}

void DensePlanes::run_all(const PlanesOperands& operands,
                          const PlanesChannels& channels,
                          float* scratch) const {
  for (int64_t t = 0; t < fill_tasks(channels); ++t) fill(t, operands.x, channels, scratch);
  for (int64_t t = 0; t < tasks(channels); ++t) run(t, operands, channels, scratch);
}

}  // namespace espalier::detail
