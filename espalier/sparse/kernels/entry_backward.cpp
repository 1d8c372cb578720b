// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/backward.h>

#include <algorithm>
#include <vector>

#include <espalier/core/kernels/conv2d/micro.h>
#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/parallel.h>
#include <espalier/sparse/kernels/conv2d_plan.h>
#include <espalier/sparse/kernels/tap_classes.h>

namespace espalier::sparse::detail {
namespace {

using espalier::detail::backward_data_taps;
using espalier::detail::BackwardDataTaps;
using espalier::detail::ceil_div;

// Weights of a task: their partial sums (64 bytes each) pass through L2 once per tile.
constexpr int64_t kTaskWeights = 8192;
// Tasks for load balance; a function of the problem alone, so that sums have one order.
constexpr int64_t kTasks = 16;
// Padded copies of dy for all tasks to share, at most.
constexpr int64_t kSharedBytes = 32 << 20;

/// One class of input positions (one for stride 1).
class BackwardRun {
 public:
  BackwardRun(const TapConvolution& conv, const Support& support, int64_t blocks)
      : plan_(conv, blocks, support.density()),
        stream_(entry_stream(
            plan_, support, true, kTaskWeights, ceil_div(kTasks / 2, plan_.image_groups))),
        ranges_(stream_->range_count()),
        shares_(std::clamp<int64_t>(ceil_div(kTasks, ranges_), 1, plan_.image_groups)),
        kernels_(sparse_conv_kernels()) {}

  /// `dx` may be null, and `kept_values` undefined with it. Writes dx of the class, or adds to it,
  /// and adds the sums of its weights to dw.
  void run(const MappedFloats& x,
           const float* dy,
           const Tensor& kept_values,
           float* dx,
           Result dx_result,
           float* dw,
           GatedResult* gate) {
    adds_ = dx_result == Result::Adds;
    if (x.map != nullptr) {
      scale_.assign(x.map->scale.begin(), x.map->scale.end());
      shift_.assign(x.map->shift.begin(), x.map->shift.end());
      relu_ = x.map->relu;
    }
    if (dx != nullptr) values_ = gather_values(kept_values, stream_->ranks);
    if (gate != nullptr) {
      center_.assign(gate->center.begin(), gate->center.end());
      sums_ = Tensor::zeros({shares_, plan_.conv.out_channels, 2 * kLanes});
    }
    partials_ = Tensor::empty({shares_ * stream_->size() * kLanes});
    share_padded(dy);
    parallel_for(ranges_ * shares_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        run_task(task / shares_, task % shares_, x.data, dy, dx);
      }
    });
    sum_partials(dw);
    if (gate != nullptr) add_lane_sums(sums_, gate->sums);
  }

 private:
  /// Where several ranges of channels need the same padded planes, all are made beforehand.
  void share_padded(const float* dy) {
    const int64_t size = plan_.image_groups * plan_.scratch_size();
    if (ranges_ == 1 || plan_.strips > 1 || size * int64_t{sizeof(float)} > kSharedBytes) return;
    shared_ = Tensor::empty({size});
    parallel_for(plan_.image_groups, 1, [&](int64_t begin, int64_t end) {
      for (int64_t group = begin; group < end; ++group) {
        plan_.fill_scratch(dy, group, 0, shared_.data<float>() + group * plan_.scratch_size());
      }
    });
  }

  /// A range of input channels over a share of the samples, in their order.
  void run_task(int64_t range, int64_t share, const float* x, const float* dy, float* dx) const {
    const int64_t first_entry = stream_->begin_of(range);
    float* partials = const_cast<float*>(partials_.data<float>()) +
                      (share * stream_->size() + first_entry) * kLanes;
    std::fill_n(partials, (stream_->end_of(range) - first_entry) * kLanes, 0.0f);
    const int64_t first_channel = stream_->ranges[static_cast<size_t>(range)];
    BackwardJob job;
    job.entries = {stream_->offsets.data(),
                   dx == nullptr ? nullptr : values_.data<float>(),
                   nullptr,
                   stream_->ranges[static_cast<size_t>(range) + 1] - first_channel};
    job.shape = plan_.shape;
    job.dy_strides = plan_.in_strides();
    job.x_strides = plan_.out_strides();
    job.x_channel = plan_.out_channel_stride();
    if (!center_.empty()) job.center = center_.data() + first_channel;
    if (!scale_.empty()) {
      job.x_scale = scale_.data() + first_channel;
      job.x_shift = shift_.data() + first_channel;
      job.x_relu = relu_;
    }
    job.partials = partials;
    job.first_partial = first_entry;
    Tensor own;
    if (!shared_.defined()) own = Tensor::empty({plan_.scratch_size()});
    const int64_t last = (share + 1) * plan_.image_groups / shares_;
    for (int64_t group = share * plan_.image_groups / shares_; group < last; ++group) {
      for (int64_t strip = 0; strip < plan_.strips; ++strip) {
        const float* padded = nullptr;
        if (shared_.defined()) {
          padded = shared_.data<float>() + group * plan_.scratch_size();
        } else {
          plan_.fill_scratch(dy, group, strip, own.data<float>());
          padded = own.data<float>();
        }
        const int64_t calls = plan_.tiles_of_strip() * stream_->channel_blocks;
        int64_t call = 0;
        plan_.for_each_tile(group, strip, [&](const ConvPlan::Place& place) {
          job.exist = place.exist;
          job.dy = padded + place.in;
          const int64_t at = place.out + first_channel * job.x_channel;
          job.x = x + at;
          job.dx = dx == nullptr ? nullptr : dx + at;
          for (int64_t block = 0; block < stream_->channel_blocks; ++block) {
            job.entries.bounds = stream_->bounds_of(range, block);
            job.accumulate = block > 0 || adds_;
            const bool last = block + 1 == stream_->channel_blocks;
            job.sums = last ? sums_of(share, first_channel) : nullptr;
            job.stream = plan_.streams_output() && last;
            if (!shared_.defined()) job.ahead = plan_.input_ahead(dy, group, strip, call++, calls);
            kernels_.backward(job);
          }
        });
      }
    }
  }

  /// Of the gated dx; null where it is not gated.
  float* sums_of(int64_t share, int64_t channel) const {
    if (!sums_.defined()) return nullptr;
    return const_cast<float*>(sums_.data<float>()) +
           (share * plan_.conv.out_channels + channel) * 2 * kLanes;
  }

  /// Adds the shares in order, then the lanes.
  void sum_partials(float* dw) const {
    const int64_t count = stream_->size();
    float* partials = const_cast<float*>(partials_.data<float>());
    const auto lane_sum = espalier::detail::conv_micro_kernels().lane_sum;
    parallel_for(count, 1 << 11, [&](int64_t begin, int64_t end) {
      float* sums = partials + begin * kLanes;
      for (int64_t share = 1; share < shares_; ++share) {
        const float* other = sums + share * count * kLanes;
        for (int64_t i = 0; i < (end - begin) * kLanes; ++i) sums[i] += other[i];
      }
      std::vector<float> totals(static_cast<size_t>(end - begin));
      lane_sum(sums, end - begin, totals.data());
      for (int64_t i = begin; i < end; ++i) {
        dw[stream_->ranks[static_cast<size_t>(i)]] += totals[static_cast<size_t>(i - begin)];
      }
    });
  }

  ConvPlan plan_;
  std::shared_ptr<const EntryStream> stream_;
  int64_t ranges_, shares_;
  bool adds_ = false;
  SparseConvKernels kernels_;
  std::vector<float> scale_, shift_;  // of a map of x; empty without one
  std::vector<float> center_;         // empty where dx is not gated
  bool relu_ = false;
  Tensor values_, partials_, shared_, sums_;
};

}  // namespace

void backward_by_entries(const Conv2dShape& shape,
                         const Support& support,
                         const BackwardOperands& of) {
  const BackwardDataTaps taps = backward_data_taps(shape);
  if (of.dx != nullptr && !taps.all_reached && of.dx_result == Result::Replaces) of.dx->fill_(0.0);
  of.dweight->fill_(0.0);
  if (of.gate != nullptr) of.gate->sums = no_sums(shape.c);
  const Tensor values = of.dx == nullptr ? Tensor() : values_of(*of.weight, support);
  const int64_t blocks = lane_blocks(shape.n);
  for (const TapConvolution& parity : taps.classes) {
    for (const TapConvolution& conv : tap_classes(parity, blocks)) {
      BackwardRun(conv, support, blocks)
          .run(MappedFloats({*of.x, of.x_map}),
               of.dy.data<float>(),
               values,
               of.dx == nullptr ? nullptr : of.dx->data<float>(),
               of.dx_result,
               of.dweight->data<float>(),
               of.gate);
    }
  }
}

}  // namespace espalier::sparse::detail
