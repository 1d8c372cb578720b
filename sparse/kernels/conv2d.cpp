// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/conv2d.h>

#include <algorithm>
#include <limits>

#include <espalier/core/kernels/conv2d_micro.h>
#include <espalier/core/kernels/conv2d_padded.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/sparse/kernels/conv2d_plan.h>

namespace espalier::sparse {
namespace {

using espalier::detail::backward_data_taps;
using espalier::detail::BackwardDataTaps;
using espalier::detail::ceil_div;
using espalier::detail::forward_taps;
using espalier::detail::TapConvolution;

// Tasks that share the output channels of a weight gradient.
constexpr int64_t kChannelTasks = 8;

// Above this density the dense kernel is as fast. Small planes are where it can leave out kernel
// rows that lie outside, and where a tile holds little work per kept weight. Measured on Zen 4,
// AVX-512.
double highest_density(const Conv2dShape& shape) {
  const int64_t area = shape.p * shape.q;
  return area >= 64 ? 0.4 : area >= 16 ? 0.25 : 0.07;
}

/// Empty when sparse kernels exist, else why not.
std::string missing_kernel(const Conv2dShape& shape, const Tensor& activations) {
  if (activations.dtype() != DType::F32)
    return cat("sparse kernels are for float32, not ", name(activations.dtype()));
  if (activations.layout() != Layout::Nchw16n) return "sparse kernels are for layout Nchw16n";
  if (shape.options.groups != 1) return "sparse kernels are for one group";
  if (shape.options.stride != Pair(1) && shape.options.stride != Pair(2)) {
    return "sparse kernels are for strides 1 and 2";
  }
  if (shape.n == 0) return "the batch is empty";
  return {};
}

void check(const Conv2dShape& shape,
           const Tensor& activations,
           const Pattern& pattern,
           std::string_view op) {
  const std::string missing = missing_kernel(shape, activations);
  ESPALIER_CHECK(missing.empty(), ValueError, op, ": ", missing);
  const Shape expected = {shape.k, shape.c, shape.r, shape.s};
  ESPALIER_CHECK(pattern.shape() == expected,
                 ShapeError,
                 op,
                 ": expects a pattern ",
                 expected,
                 ", got ",
                 pattern.shape());
}

/// y of a tap convolution with the kept weights of a stream.
void run(const TapConvolution& conv,
         const detail::ConvPlan& plan,
         const detail::EntryStream& stream,
         const float* x,
         const float* bias,
         float* y,
         int64_t blocks) {
  const detail::SparseConvKernels kernels = detail::sparse_conv_kernels();
  parallel_for(plan.image_groups * plan.strips, 1, [&](int64_t begin, int64_t end) {
    Tensor scratch = Tensor::empty({plan.channel_block * plan.channel_stride()});
    for (int64_t task = begin; task < end; ++task) {
      const int64_t image = task / plan.strips * plan.images;
      const int64_t images = std::min(plan.images, blocks - image);
      const int64_t row = task % plan.strips * plan.strip;
      const std::vector<detail::Tile> tiles = detail::tiles_of(conv, plan, images, row);
      detail::SegmentJob job;
      job.entries = stream.entries.data();
      job.channels = conv.out_channels;
      job.x = scratch.data<float>();
      job.step_two = conv.in_step.w == 2;
      job.y_channel_stride = conv.plane_h * conv.plane_w * kLanes;
      job.y = y + image * conv.out_channels * job.y_channel_stride;
      job.y_step = conv.out_step.w * kLanes;
      job.tall = plan.tall;
      job.start = bias;
      for (int64_t c = 0; c < conv.in_channels; c += plan.channel_block) {
        const int64_t count = std::min(plan.channel_block, conv.in_channels - c);
        detail::fill_scratch(conv, plan, x, image, images, row, c, count, scratch.data<float>());
        job.bounds = stream.bounds.data() + c / plan.channel_block * conv.out_channels;
        job.accumulate = c > 0;
        for (const detail::Tile& tile : tiles) {
          job.x_rows = tile.in_rows.data();
          job.y_rows = tile.out_rows.data();
          job.rows = tile.rows;
          job.cols = tile.cols;
          kernels.segment(job);
        }
      }
    }
  });
}

}  // namespace

KernelChoice choose_conv2d(const Conv2dShape& shape,
                           const Tensor& activations,
                           const Pattern& pattern) {
  std::string missing = missing_kernel(shape, activations);
  if (!missing.empty()) return {false, std::move(missing)};
  if (pattern.numel() > std::numeric_limits<int32_t>::max())
    return {false, "the weight is too large"};
  const double density = pattern.density();
  const double limit = highest_density(shape);
  if (density > limit) {
    return {false, cat("density ", density, " is above ", limit, ", where dense is as fast")};
  }
  return {true, cat("density ", density, " is at most ", limit)};
}

void conv2d_forward(const Conv2dShape& shape,
                    const Tensor& x,
                    const Tensor& weight,
                    const Pattern& pattern,
                    const Tensor& bias,
                    Tensor& y) {
  check(shape, x, pattern, "conv2d");
  count_macs(shape.n * shape.p * shape.q * pattern.nnz());
  const TapConvolution conv = forward_taps(shape);
  const int64_t blocks = lane_blocks(shape.n);
  const detail::ConvPlan plan(conv, blocks, pattern.density());
  const Tensor w = weight.contiguous();
  const Tensor b = bias.defined() ? bias.contiguous() : Tensor();
  const detail::EntryStream stream = detail::make_stream(
      conv, plan, pattern.kept(), {w.data<float>(), shape.r * shape.s, false}, false);
  run(conv,
      plan,
      stream,
      x.data<float>(),
      b.defined() ? b.data<float>() : nullptr,
      y.data<float>(),
      blocks);
  if (b.defined()) zero_padding_lanes(y);
}

void conv2d_backward_data(const Conv2dShape& shape,
                          const Tensor& dy,
                          const Tensor& weight,
                          const Pattern& pattern,
                          Tensor& dx) {
  check(shape, dy, pattern, "conv2d_backward_data");
  const BackwardDataTaps taps = backward_data_taps(shape);
  if (!taps.all_reached) dx.fill_(0.0);
  const int64_t blocks = lane_blocks(shape.n);
  const Tensor w = weight.contiguous();
  for (const TapConvolution& conv : taps.classes) {
    const detail::ConvPlan plan(conv, blocks, pattern.density());
    const detail::EntryStream stream = detail::make_stream(
        conv, plan, pattern.kept_by_input(), {w.data<float>(), shape.r * shape.s, true}, false);
    run(conv, plan, stream, dy.data<float>(), nullptr, dx.data<float>(), blocks);
  }
}

void conv2d_backward_weight(const Conv2dShape& shape,
                            const Tensor& x,
                            const Tensor& dy,
                            const Pattern& pattern,
                            Tensor& dweight) {
  check(shape, x, pattern, "conv2d_backward_weight");
  const TapConvolution conv = forward_taps(shape);
  const int64_t blocks = lane_blocks(shape.n);
  const detail::ConvPlan plan(conv, blocks, pattern.density(), conv.in_channels);
  const detail::EntryStream stream =
      detail::make_stream(conv, plan, pattern.kept(), {nullptr, shape.r * shape.s, false}, true);
  const detail::SparseConvKernels kernels = detail::sparse_conv_kernels();
  dweight.fill_(0.0);
  if (stream.entries.empty()) return;

  const auto count = static_cast<int64_t>(stream.entries.size());
  Tensor partials = Tensor::zeros({count * kLanes});
  Tensor scratch = Tensor::empty({conv.in_channels * plan.channel_stride()});
  const int64_t per_task = ceil_div(conv.out_channels, kChannelTasks);
  const int64_t out_plane = shape.p * shape.q * kLanes;
  // A task owns the weights of some output channels and meets samples and rows in order.
  for (int64_t step = 0; step < plan.image_groups * plan.strips; ++step) {
    const int64_t image = step / plan.strips * plan.images;
    const int64_t images = std::min(plan.images, blocks - image);
    const int64_t row = step % plan.strips * plan.strip;
    const int64_t grain = 1 + (1 << 14) / plan.channel_stride();
    parallel_for(conv.in_channels, grain, [&](int64_t begin, int64_t end) {
      detail::fill_scratch(conv,
                           plan,
                           x.data<float>(),
                           image,
                           images,
                           row,
                           begin,
                           end - begin,
                           scratch.data<float>() + begin * plan.channel_stride());
    });
    const std::vector<detail::Tile> tiles = detail::tiles_of(conv, plan, images, row);
    parallel_for(ceil_div(conv.out_channels, per_task), 1, [&](int64_t begin, int64_t end) {
      const int64_t first = begin * per_task;
      detail::GradientJob job;
      job.entries = stream.entries.data();
      job.channels = std::min(conv.out_channels, end * per_task) - first;
      job.x = scratch.data<float>();
      job.step_two = conv.in_step.w == 2;
      job.dy = dy.data<float>() + (image * conv.out_channels + first) * out_plane;
      job.dy_channel_stride = out_plane;
      job.tall = plan.tall;
      job.partials = partials.data<float>();
      for (int64_t c = 0; c < conv.in_channels; c += plan.channel_block) {
        job.bounds = stream.bounds.data() + c / plan.channel_block * conv.out_channels + first;
        for (const detail::Tile& tile : tiles) {
          job.x_rows = tile.in_rows.data();
          job.dy_rows = tile.out_rows.data();
          job.rows = tile.rows;
          job.cols = tile.cols;
          kernels.gradient(job);
        }
      }
    });
  }
  Tensor totals = Tensor::empty({count});
  espalier::detail::conv_micro_kernels().lane_sum(
      partials.data<float>(), count, totals.data<float>());
  float* dw = dweight.data<float>();
  for (int64_t i = 0; i < count; ++i) {
    dw[stream.weights[static_cast<size_t>(i)]] = totals.data<float>()[i];
  }
}

}  // namespace espalier::sparse
