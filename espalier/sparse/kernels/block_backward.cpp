// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/backward.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include <espalier/core/kernels/conv2d/micro.h>
#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/parallel.h>
#include <espalier/sparse/kernels/block_backward_plan.h>

namespace espalier::sparse::detail {
namespace {

// Outputs of this size are not found in any cache by who reads them next.
constexpr int64_t kStreamedBytes = 16 << 20;

class BlockBackwardRun {
 public:
  BlockBackwardRun(const Conv2dShape& shape, const Support& support)
      : support_(support),
        plan_(espalier::detail::forward_taps(shape), lane_blocks(shape.n), support),
        stream_(block_backward_stream(plan_, support)),
        kernels_(block_backward_kernels()) {}

  /// `dx` may be null, and then `weight` undefined; so may `dw`, and then `x`.
  void run(const float* x,
           const ChannelMap* x_map,
           const float* dy,
           const Tensor& weight,
           float* dx,
           Result dx_result,
           float* dw,
           GatedResult* gate) {
    x_map_ = x_map;
    gate_ = gate;
    if (gate != nullptr) {
      sums_ = Tensor::zeros({plan_.shares, plan_.conv.in_channels, 2 * kLanes});
    }
    const int64_t dx_bytes =
        plan_.blocks * plan_.conv.in_channels * plan_.conv.in_h * plan_.conv.in_w * 64;
    emission_ = dx_result == Result::Adds    ? Emission::Add
                : dx_bytes >= kStreamedBytes ? Emission::Stream
                                             : Emission::Store;
    if (dx != nullptr) values_ = gather_values(values_of(weight, support_), stream_->ranks);
    if (dw != nullptr) {
      partials_ = Tensor::empty({plan_.shares * stream_->size() * kBlockChannels * kLanes});
    }
    parallel_for(plan_.ranges * plan_.shares, 1, [&](int64_t begin, int64_t end) {
      Tensor scratch = Tensor::empty({plan_.scratch_size()});
      for (int64_t task = begin; task < end; ++task) {
        run_task(task / plan_.shares, task % plan_.shares, x, dy, dx, scratch.data<float>());
      }
    });
    if (dw != nullptr) sum_partials(dw);
    if (gate != nullptr) {
      gate->sums = no_sums(plan_.conv.in_channels);
      add_lane_sums(sums_, gate->sums);
    }
  }

 private:
  void run_task(int64_t range,
                int64_t share,
                const float* x,
                const float* dy,
                float* dx,
                float* scratch) const {
    const int64_t first_block = range * plan_.range_blocks;
    const int64_t last_block = std::min(first_block + plan_.range_blocks, plan_.channel_blocks());
    BlockBackwardJob job;
    job.offsets = stream_->offsets.data();
    job.values = dx == nullptr ? nullptr : values_.data<float>();
    job.bounds_step = tap_rows(plan_.conv);
    job.rows = espalier::detail::ceil_div(plan_.conv.out_channels, kBlockChannels);
    job.channels = plan_.conv.out_channels;
    job.shape = plan_.shape;
    job.dy_strides = plan_.dy_strides();
    job.dy_channel = plan_.conv.grid_h * plan_.conv.grid_w * 16;
    job.scratch_strides = plan_.scratch_strides();
    job.first_block = *stream_->bounds_of(first_block);
    job.partials = partials_of(share, job.first_block);
    const bool dw_wanted = job.partials != nullptr;
    if (dw_wanted) {
      const int64_t count = *stream_->bounds_of(last_block) - job.first_block;
      std::fill_n(job.partials, count * kBlockChannels * kLanes, 0.0f);
    }
    const int64_t last = (share + 1) * plan_.image_groups / plan_.shares;
    for (int64_t group = share * plan_.image_groups / plan_.shares; group < last; ++group) {
      for (int64_t strip = 0; strip < plan_.strips; ++strip) {
        begin_strip(range, group, strip, dw_wanted ? x : nullptr, scratch);
        const int64_t parts = plan_.tiles_of_strip();
        int64_t part = 0;
        plan_.for_each_tile(group, strip, [&](const BlockBackwardPlan::Place& place) {
          job.exist = place.exist;
          job.dy = dy + place.dy;
          job.next_tile = place.next;
          job.ahead = {};
          if (dw_wanted) {
            job.ahead = plan_.input_ahead(x, range, group, strip, last, part++, parts);
          }
          job.scratch = scratch + place.scratch;
          job.parts = place.tap_rows.count;
          for (int64_t block = first_block; block < last_block; ++block) {
            job.bounds = stream_->bounds_of(block) + place.tap_rows.first;
            kernels_.backward(job);
            job.next_tile = 0;
            job.ahead = {};
          }
        });
        if (dx != nullptr) end_strip({range, share, group, strip}, x, dx, scratch);
      }
    }
  }

  float* partials_of(int64_t share, int64_t first_block) const {
    if (!partials_.defined()) return nullptr;
    return const_cast<float*>(partials_.data<float>()) +
           (share * stream_->size() + first_block) * kBlockChannels * kLanes;
  }

  BlockPlane plane(int64_t strip) const {
    const int64_t first = strip * plan_.strip * plan_.conv.in_step.h + plan_.window.top;
    return {plan_.conv.in_h, plan_.conv.in_w, first, plan_.window.left, plan_.rows, plan_.cols};
  }

  /// Calls body(channel, offset of the plane in x and dx or -1 where none exists, scratch of the
  /// plane) for the planes of a task.
  template <class F>
  void for_each_plane(int64_t range, int64_t group, float* scratch, F body) const {
    const int64_t first = range * plan_.range_channels();
    const int64_t count = std::min(plan_.range_channels(), plan_.conv.in_channels - first);
    for (int64_t c = 0; c < count; ++c) {
      for (int64_t i = 0; i < plan_.tile.images; ++i, scratch += plan_.image_stride()) {
        const int64_t image = group * plan_.tile.images + i;
        const int64_t index = image * plan_.conv.in_channels + first + c;
        body(first + c,
             image < plan_.blocks ? index * plan_.conv.in_h * plan_.conv.in_w * 16 : -1,
             scratch);
      }
    }
  }

  /// x of the strip, and dx as far as the strip before left it unfinished.
  void begin_strip(
      int64_t range, int64_t group, int64_t strip, const float* x, float* scratch) const {
    const BlockPlane where = plane(strip);
    const int64_t step = plan_.strip * plan_.conv.in_step.h;
    const int64_t carried = strip == 0 ? 0 : std::max<int64_t>(0, plan_.rows - step);
    for_each_plane(range, group, scratch, [&](int64_t channel, int64_t offset, float* to) {
      const int64_t row = plan_.cols * kPairFloats;
      if (carried > 0) {
        std::memmove(to, to + step * row, static_cast<size_t>(carried * row) * sizeof(float));
      }
      BlockMap map{};
      if (x_map_ != nullptr) {
        const auto c = static_cast<size_t>(channel);
        map = {static_cast<float>(x_map_->scale[c]),
               static_cast<float>(x_map_->shift[c]),
               x_map_->relu};
      }
      kernels_.fill(where,
                    x == nullptr || offset < 0 ? nullptr : x + offset,
                    x_map_ == nullptr ? nullptr : &map,
                    carried,
                    to);
    });
  }

  struct Part {
    int64_t range, share, group, strip;
  };

  /// Writes the rows of dx to which no later strip adds.
  void end_strip(const Part& part, const float* x, float* dx, float* scratch) const {
    const BlockPlane where = plane(part.strip);
    const int64_t end = part.strip + 1 == plan_.strips ? where.h - where.first_row
                                                       : plan_.strip * plan_.conv.in_step.h;
    for_each_plane(
        part.range, part.group, scratch, [&](int64_t channel, int64_t offset, const float* from) {
          if (offset < 0) return;
          BlockGate gate{};
          if (gate_ != nullptr) {
            gate = {x + offset,
                    static_cast<float>(gate_->center[static_cast<size_t>(channel)]),
                    sums_of(part.share, channel)};
          }
          kernels_.emit(
              where, from, 0, end, dx + offset, emission_, gate_ == nullptr ? nullptr : &gate);
        });
  }

  float* sums_of(int64_t share, int64_t channel) const {
    return const_cast<float*>(sums_.data<float>()) +
           (share * plan_.conv.in_channels + channel) * 2 * kLanes;
  }

  /// Adds the shares in order, then the lanes.
  void sum_partials(float* dw) const {
    const int64_t count = stream_->size() * kBlockChannels;
    float* partials = partials_of(0, 0);
    const auto lane_sum = espalier::detail::conv_micro_kernels().lane_sum;
    parallel_for(count, 1 << 11, [&](int64_t begin, int64_t end) {
      float* sums = partials + begin * kLanes;
      for (int64_t share = 1; share < plan_.shares; ++share) {
        const float* other = sums + share * count * kLanes;
        for (int64_t i = 0; i < (end - begin) * kLanes; ++i) sums[i] += other[i];
      }
      std::vector<float> totals(static_cast<size_t>(end - begin));
      lane_sum(sums, end - begin, totals.data());
      for (int64_t i = begin; i < end; ++i) {
        const int32_t rank = stream_->ranks[static_cast<size_t>(i)];
        if (rank >= 0) dw[rank] = totals[static_cast<size_t>(i - begin)];
      }
    });
  }

  const Support& support_;
  BlockBackwardPlan plan_;
  std::shared_ptr<const BlockStream> stream_;
  BlockBackwardKernels kernels_;
  Emission emission_ = Emission::Store;
  const ChannelMap* x_map_ = nullptr;
  const GatedResult* gate_ = nullptr;
  Tensor values_, partials_, sums_;
};

}  // namespace

void backward_in_blocks(const Conv2dShape& shape,
                        const Support& support,
                        const BackwardOperands& of) {
  BlockBackwardRun(shape, support)
      .run(of.dweight == nullptr ? nullptr : of.x->data<float>(),
           of.x_map,
           of.dy.data<float>(),
           of.weight == nullptr ? Tensor() : *of.weight,
           of.dx == nullptr ? nullptr : of.dx->data<float>(),
           of.dx_result,
           of.dweight == nullptr ? nullptr : of.dweight->data<float>(),
           of.gate);
}

}  // namespace espalier::sparse::detail
