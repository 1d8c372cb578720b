// SPDX-License-Identifier: Apache-2.0
// Dense convolution in sixteen lanes. All directions but backward-weight are one problem, a *tap
// convolution*: y[k][i,j] = sum over c and taps t of w[k][c][t] * x[c][i*step + dh_t, j*step +
// dw_t]. Backward-data with stride s is s*s of them, one for each parity class of the input plane.
#include <espalier/core/kernels/conv2d_lanes.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include <espalier/core/kernels/conv2d_micro.h>
#include <espalier/core/parallel.h>

namespace espalier::detail {
namespace {

struct Tap {
  int64_t dh, dw;
  int64_t index;  // r*S + s in the weight
};

/// A grid of output positions (out_h x out_w) that lies in its plane at first + i*out_step.
struct TapConvolution {
  int64_t in_channels, in_h, in_w;  // of one group
  int64_t out_channels;             // of one group
  int64_t grid_h, grid_w;
  Pair in_step, out_step, out_first;
  int64_t plane_h, plane_w;  // the whole output plane
  int64_t groups;
  std::vector<Tap> taps;
};

// Input channels whose strip stays in L1 together with a tile: 16 channels x 3 rows x 6 columns =
// 18 KB.
constexpr int64_t kChannelBlock = 16;
// Bytes of padded input that one task copies at a time: half of a 1 MB L2.
constexpr int64_t kStripBytes = 384 << 10;

/// Weights as the tiles read them: [group][block of output channels][in-channel][tap][channel in
/// block].
template <class At>
std::vector<float> pack_weights(const TapConvolution& conv, At at) {
  const auto taps = static_cast<int64_t>(conv.taps.size());
  std::vector<float> packed(
      static_cast<size_t>(conv.groups * conv.out_channels * conv.in_channels * taps));
  size_t i = 0;
  for (int64_t g = 0; g < conv.groups; ++g) {
    for (int64_t k = 0; k < conv.out_channels; k += kTileChannels) {
      const int64_t last = std::min<int64_t>(conv.out_channels, k + kTileChannels);
      for (int64_t c = 0; c < conv.in_channels; ++c) {
        for (const Tap& tap : conv.taps) {
          for (int64_t b = k; b < last; ++b) packed[i++] = at(g, b, c, tap.index);
        }
      }
    }
  }
  return packed;
}

/// Rows first .. first+rows of `channels` planes, from column `left`, `cols` wide; zero outside.
void copy_padded(const float* planes,
                 int64_t channels,
                 int64_t h,
                 int64_t w,
                 int64_t first,
                 int64_t rows,
                 int64_t left,
                 int64_t cols,
                 float* out) {
  const int64_t begin = std::clamp<int64_t>(-left, 0, cols);
  const int64_t end = std::clamp<int64_t>(w - left, begin, cols);
  const auto zero = [](float* p, int64_t n) {
    std::memset(p, 0, static_cast<size_t>(n * kLanes) * sizeof(float));
  };
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t r = 0; r < rows; ++r, out += cols * kLanes) {
      const int64_t row = first + r;
      if (row < 0 || row >= h) {
        zero(out, cols);
        continue;
      }
      zero(out, begin);
      std::memcpy(out + begin * kLanes,
                  planes + ((c * h + row) * w + left + begin) * kLanes,
                  static_cast<size_t>((end - begin) * kLanes) * sizeof(float));
      zero(out + end * kLanes, cols - end);
    }
  }
}

/// The window of the input that the taps reach from grid rows of one strip.
struct Window {
  int64_t top = 0, bottom = 0, left = 0, right = 0;  // of tap offsets
  explicit Window(const std::vector<Tap>& taps) {
    top = bottom = taps.front().dh;
    left = right = taps.front().dw;
    for (const Tap& tap : taps) {
      top = std::min(top, tap.dh);
      bottom = std::max(bottom, tap.dh);
      left = std::min(left, tap.dw);
      right = std::max(right, tap.dw);
    }
  }
  int64_t rows(int64_t grid_rows, int64_t step) const {
    return (grid_rows - 1) * step + bottom - top + 1;
  }
  int64_t cols(int64_t grid_cols, int64_t step) const {
    return (grid_cols - 1) * step + right - left + 1;
  }
};

void run_tap_convolution(const TapConvolution& conv,
                         const std::vector<float>& weights,
                         const float* x,
                         const float* bias,
                         float* y,
                         int64_t blocks) {
  const ConvMicroKernels kernels = conv_micro_kernels();
  const Window window(conv.taps);
  const auto taps = static_cast<int64_t>(conv.taps.size());
  const int64_t channel_block = std::min(conv.in_channels, kChannelBlock);
  const int64_t cols = window.cols(conv.grid_w, conv.in_step.w);
  const int64_t row_bytes = channel_block * cols * kLanes * static_cast<int64_t>(sizeof(float));
  // As many rows as fit the strip, but at least two strips for two cores to share a small batch.
  const int64_t fitting =
      (kStripBytes / row_bytes - (window.bottom - window.top) - 1) / conv.in_step.h + 1;
  const int64_t strip = std::clamp<int64_t>(fitting, 1, conv.grid_h);
  const int64_t strips = (conv.grid_h + strip - 1) / strip;
  const int64_t in_plane = conv.in_h * conv.in_w * kLanes;
  const int64_t out_plane = conv.plane_h * conv.plane_w * kLanes;

  parallel_for(blocks * strips, 1, [&](int64_t begin, int64_t end) {
    Tensor scratch = Tensor::empty(
        {channel_block * window.rows(strip, conv.in_step.h) * cols * kLanes}, DType::F32);
    std::vector<int64_t> offsets(static_cast<size_t>(taps));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task / strips;
      const int64_t first = task % strips * strip;
      const int64_t grid_rows = std::min(strip, conv.grid_h - first);
      const int64_t rows = window.rows(grid_rows, conv.in_step.h);
      for (size_t t = 0; t < conv.taps.size(); ++t) {
        offsets[t] =
            ((conv.taps[t].dh - window.top) * cols + conv.taps[t].dw - window.left) * kLanes;
      }
      for (int64_t g = 0; g < conv.groups; ++g) {
        const float* planes = x + (block * conv.groups + g) * conv.in_channels * in_plane;
        float* out = y + (block * conv.groups + g) * conv.out_channels * out_plane;
        const float* group_weights =
            weights.data() + g * conv.out_channels * conv.in_channels * taps;
        for (int64_t c = 0; c < conv.in_channels; c += channel_block) {
          const int64_t channels = std::min(channel_block, conv.in_channels - c);
          copy_padded(planes + c * in_plane,
                      channels,
                      conv.in_h,
                      conv.in_w,
                      first * conv.in_step.h + window.top,
                      rows,
                      window.left,
                      cols,
                      scratch.data<float>());
          for (int64_t i = 0; i < grid_rows; ++i) {
            const int64_t out_row = conv.out_first.h + (first + i) * conv.out_step.h;
            for (int64_t k = 0; k < conv.out_channels; k += kTileChannels) {
              const int64_t b = std::min<int64_t>(kTileChannels, conv.out_channels - k);
              float start[kTileChannels] = {};
              if (bias != nullptr) std::copy_n(bias + g * conv.out_channels + k, b, start);
              TileJob job;
              job.x = scratch.data<float>() + i * conv.in_step.h * cols * kLanes;
              job.x_channel_stride = rows * cols * kLanes;
              job.x_step = conv.in_step.w * kLanes;
              job.tap_offsets = offsets.data();
              job.taps = taps;
              job.channels = channels;
              job.weights = group_weights + (k * conv.in_channels + c * b) * taps;
              job.y = out + k * out_plane + (out_row * conv.plane_w + conv.out_first.w) * kLanes;
              job.y_channel_stride = out_plane;
              job.y_step = conv.out_step.w * kLanes;
              job.start = c == 0 ? start : nullptr;
              kernels.row(job, static_cast<int>(b), conv.grid_w);
            }
          }
        }
      }
    }
  });
}

}  // namespace

void conv2d_forward_lanes(const Conv2dShape& shape,
                          const Tensor& x,
                          const Tensor& weight,
                          const Tensor& bias,
                          Tensor& y) {
  const Conv2dOptions& o = shape.options;
  TapConvolution conv{shape.c / o.groups,
                      shape.h,
                      shape.w,
                      shape.k / o.groups,
                      shape.p,
                      shape.q,
                      o.stride,
                      1,
                      Pair(0),
                      shape.p,
                      shape.q,
                      o.groups,
                      {}};
  for (int64_t r = 0; r < shape.r; ++r) {
    for (int64_t s = 0; s < shape.s; ++s) {
      conv.taps.push_back(
          {r * o.dilation.h - o.padding.h, s * o.dilation.w - o.padding.w, r * shape.s + s});
    }
  }
  const float* w = weight.data<float>();
  const int64_t area = shape.r * shape.s;
  const auto packed = pack_weights(conv, [&](int64_t g, int64_t k, int64_t c, int64_t tap) {
    return w[((g * conv.out_channels + k) * conv.in_channels + c) * area + tap];
  });
  run_tap_convolution(conv,
                      packed,
                      x.data<float>(),
                      bias.defined() ? bias.data<float>() : nullptr,
                      y.data<float>(),
                      lane_blocks(shape.n));
  if (bias.defined()) zero_padding_lanes(y);
}

void conv2d_backward_data_lanes(const Conv2dShape& shape,
                                const Tensor& dy,
                                const Tensor& weight,
                                Tensor& dx) {
  const Conv2dOptions& o = shape.options;
  const float* w = weight.data<float>();
  const int64_t area = shape.r * shape.s;
  const int64_t in_per_group = shape.c / o.groups;
  const int64_t out_per_group = shape.k / o.groups;
  // Positions that no kernel tap reaches (a 1x1 kernel with stride 2) keep this zero.
  if (o.stride.h > 1 || o.stride.w > 1) dx.fill_(0.0);
  for (int64_t ph = 0; ph < std::min(o.stride.h, shape.h); ++ph) {
    for (int64_t pw = 0; pw < std::min(o.stride.w, shape.w); ++pw) {
      // x row ph + i*stride meets output row i + dh through kernel row r when the division is
      // exact.
      TapConvolution conv{out_per_group,
                          shape.p,
                          shape.q,
                          in_per_group,
                          (shape.h - ph + o.stride.h - 1) / o.stride.h,
                          (shape.w - pw + o.stride.w - 1) / o.stride.w,
                          1,
                          o.stride,
                          Pair(ph, pw),
                          shape.h,
                          shape.w,
                          o.groups,
                          {}};
      for (int64_t r = 0; r < shape.r; ++r) {
        const int64_t h = ph + o.padding.h - r * o.dilation.h;
        if (h % o.stride.h != 0) continue;
        for (int64_t s = 0; s < shape.s; ++s) {
          const int64_t v = pw + o.padding.w - s * o.dilation.w;
          if (v % o.stride.w == 0)
            conv.taps.push_back({h / o.stride.h, v / o.stride.w, r * shape.s + s});
        }
      }
      if (conv.taps.empty()) continue;
      const auto packed = pack_weights(conv, [&](int64_t g, int64_t c, int64_t k, int64_t tap) {
        return w[((g * out_per_group + k) * in_per_group + c) * area + tap];
      });
      run_tap_convolution(
          conv, packed, dy.data<float>(), nullptr, dx.data<float>(), lane_blocks(shape.n));
    }
  }
}

void conv2d_backward_weight_lanes(const Conv2dShape& shape,
                                  const Tensor& x,
                                  const Tensor& dy,
                                  Tensor& dweight) {
  const Conv2dOptions& o = shape.options;
  const ConvMicroKernels kernels = conv_micro_kernels();
  const int64_t in_per_group = shape.c / o.groups;
  const int64_t out_per_group = shape.k / o.groups;
  const int64_t area = shape.r * shape.s;
  const int64_t columns = in_per_group * area;
  const int64_t rows = (shape.p - 1) * o.stride.h + (shape.r - 1) * o.dilation.h + 1;
  const int64_t cols = (shape.q - 1) * o.stride.w + (shape.s - 1) * o.dilation.w + 1;
  const int64_t plane = rows * cols * kLanes;
  const int64_t out_plane = shape.p * shape.q * kLanes;

  // Offset of weight column (c, r, s) in the padded input of one group.
  std::vector<int64_t> offsets;
  for (int64_t c = 0; c < in_per_group; ++c) {
    for (int64_t r = 0; r < shape.r; ++r) {
      for (int64_t s = 0; s < shape.s; ++s) {
        offsets.push_back(c * plane + (r * o.dilation.h * cols + s * o.dilation.w) * kLanes);
      }
    }
  }
  dweight.fill_(0.0);
  float* dw = dweight.data<float>();
  Tensor padded = Tensor::empty({shape.c * plane}, DType::F32);
  const int64_t k_blocks = (out_per_group + kTileChannels - 1) / kTileChannels;
  const int64_t column_blocks = (columns + kTileColumns - 1) / kTileColumns;
  // A thread owns weights, not samples, and meets the blocks of samples in order: the sums' order,
  // and so their bits, don't depend on the number of threads.
  for (int64_t block = 0; block < lane_blocks(shape.n); ++block) {
    const float* planes = x.data<float>() + block * shape.c * shape.h * shape.w * kLanes;
    parallel_for(shape.c, 1, [&](int64_t begin, int64_t end) {
      copy_padded(planes + begin * shape.h * shape.w * kLanes,
                  end - begin,
                  shape.h,
                  shape.w,
                  -o.padding.h,
                  rows,
                  -o.padding.w,
                  cols,
                  padded.data<float>() + begin * plane);
    });
    const float* block_dy = dy.data<float>() + block * shape.k * out_plane;
    const int64_t work = shape.p * shape.q * kTileColumns * kTileChannels;
    const int64_t grain = std::max<int64_t>(1, (1 << 17) / work);
    parallel_for(o.groups * k_blocks * column_blocks, grain, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t g = task / (k_blocks * column_blocks);
        const int64_t k = task / column_blocks % k_blocks * kTileChannels;
        const int64_t column = task % column_blocks * kTileColumns;
        const auto b = static_cast<int>(std::min<int64_t>(kTileChannels, out_per_group - k));
        const auto t = static_cast<int>(std::min<int64_t>(kTileColumns, columns - column));
        float sums[kTileChannels * kTileColumns] = {};
        ColumnJob job;
        job.dy = block_dy + (g * out_per_group + k) * out_plane;
        job.dy_channel_stride = out_plane;
        job.dy_row_stride = shape.q * kLanes;
        job.x = padded.data<float>() + g * in_per_group * plane;
        job.column_offsets = offsets.data() + column;
        job.x_row_stride = o.stride.h * cols * kLanes;
        job.x_step = o.stride.w * kLanes;
        job.rows = shape.p;
        job.positions = shape.q;
        job.sums = sums;
        kernels.column(job, b, t);
        for (int i = 0; i < b; ++i) {
          for (int j = 0; j < t; ++j) {
            dw[(g * out_per_group + k + i) * columns + column + j] += sums[i * t + j];
          }
        }
      }
    });
  }
}

}  // namespace espalier::detail
