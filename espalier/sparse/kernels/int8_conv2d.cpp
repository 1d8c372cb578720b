// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/int8_conv2d.h>

#include <algorithm>
#include <cmath>

#include <espalier/core/error.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/sparse/kernels/int8_micro.h>

namespace espalier::sparse {
namespace {

using detail::kTilePositions;

// Output channels of a task where there are few rows (linear layers): enough work, enough tasks.
constexpr int64_t kTaskChannels = 64;

void check(const Conv2dShape& s,
           const Tensor& x,
           const Int8Weight& weight,
           const Tensor& bias,
           const Tensor& y) {
  const Shape in = {s.n, s.c, s.h, s.w};
  const Shape out = {s.n, s.k, s.p, s.q};
  const Shape taps = {s.k, s.c / s.options.groups, s.r, s.s};
  ESPALIER_CHECK(x.shape() == in && y.shape() == out && weight.shape == taps &&
                     (!bias.defined() || bias.shape() == Shape{s.k}),
                 ShapeError,
                 "int8_conv2d: expects x ",
                 in,
                 ", weight ",
                 taps,
                 " and y ",
                 out,
                 ", got ",
                 x.shape(),
                 ", ",
                 weight.shape,
                 " and ",
                 y.shape());
  ESPALIER_CHECK(x.dtype() == DType::F32 && y.dtype() == DType::F32 &&
                     (!bias.defined() || bias.dtype() == DType::F32) &&
                     x.layout() == Layout::Nchw16n && y.layout() == Layout::Nchw16n,
                 TypeError,
                 "int8_conv2d: expects float32 in Nchw16n, got ",
                 x,
                 " and ",
                 y);
}

// One block of samples, padded with the grid's zero: [quad of
// channels][row][column][lane][channel].
struct Padded {
  int64_t quads, rows, cols;
  int64_t quad_bytes() const { return rows * cols * detail::kVectorBytes; }
  int64_t bytes() const { return quads * quad_bytes(); }
};

Padded padded(const Conv2dShape& s) {
  const Conv2dOptions& o = s.options;
  return {(s.c + 3) / 4,
          std::max(s.h + o.padding.h, (s.p - 1) * o.stride.h + (s.r - 1) * o.dilation.h + 1),
          std::max(s.w + o.padding.w, (s.q - 1) * o.stride.w + (s.s - 1) * o.dilation.w + 1)};
}

}  // namespace

Int8Blocks int8_blocks(const Int8Weight& weight, int64_t groups) {
  ESPALIER_CHECK(weight.shape.rank() == 4,
                 ShapeError,
                 "int8_blocks: expects a weight (K,C,R,S), got ",
                 weight.shape);
  const int64_t k = weight.shape[0];
  const int64_t c = weight.shape[1];
  const int64_t r = weight.shape[2];
  const int64_t s = weight.shape[3];
  ESPALIER_CHECK(groups >= 1 && k % groups == 0,
                 ValueError,
                 "int8_blocks: expects groups that divide ",
                 k,
                 " output channels, got ",
                 groups);
  Int8Blocks out;
  out.first.push_back(0);
  for (int64_t o = 0; o < k; ++o) {
    const int64_t begin = o / (k / groups) * c;  // the input channels begin .. begin+c-1
    for (int64_t quad = begin / 4; quad * 4 < begin + c; ++quad) {
      for (int64_t tap = 0; tap < r * s; ++tap) {
        uint32_t packed = 0;
        for (int64_t i = 0; i < 4; ++i) {
          const int64_t channel = quad * 4 + i - begin;
          if (channel < 0 || channel >= c) continue;
          const int8_t q = weight.q[static_cast<size_t>((o * c + channel) * r * s + tap)];
          packed |= uint32_t{static_cast<uint8_t>(q)} << (8 * i);
        }
        if (packed == 0) continue;
        out.channel.push_back(static_cast<int32_t>(quad));
        out.row.push_back(static_cast<int16_t>(tap / s));
        out.column.push_back(static_cast<int16_t>(tap % s));
        out.weights.push_back(static_cast<int32_t>(packed));
      }
    }
    out.first.push_back(static_cast<int32_t>(out.weights.size()));
  }
  return out;
}

void int8_conv2d(const Conv2dShape& s,
                 const Tensor& x,
                 const AffineGrid& grid,
                 const Int8Weight& weight,
                 const Int8Blocks& blocks,
                 const Tensor& bias,
                 Tensor& y) {
  check(s, x, weight, bias, y);
  ESPALIER_CHECK(blocks.first.size() == static_cast<size_t>(s.k) + 1,
                 ShapeError,
                 "int8_conv2d: the blocks are of another weight");
  if (y.numel() == 0) return;
  const Conv2dOptions& o = s.options;
  const Padded pad = padded(s);
  const int64_t images = lane_blocks(s.n);
  Tensor scratch = Tensor::empty({images * pad.bytes()}, DType::U8);
  auto* const packed = scratch.data<uint8_t>();
  const float* const in = x.data<float>();
  const float inverse = 1.0F / grid.scale;
  parallel_for(images * pad.quads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t quad = i % pad.quads;
      const auto channels = static_cast<int>(std::min<int64_t>(4, s.c - quad * 4));
      uint8_t* const to = packed + i * pad.quad_bytes();
      std::fill_n(to, pad.quad_bytes(), static_cast<uint8_t>(grid.zero));
      const float* const from = in + (i / pad.quads * s.c + quad * 4) * s.h * s.w * kLanes;
      for (int64_t row = 0; row < s.h; ++row) {
        detail::quantize_row(
            from + row * s.w * kLanes,
            s.h * s.w * kLanes,
            channels,
            s.w,
            inverse,
            grid.zero,
            to + ((row + o.padding.h) * pad.cols + o.padding.w) * detail::kVectorBytes);
      }
    }
  });

  std::vector<int32_t> offsets(blocks.weights.size());
  for (size_t b = 0; b < offsets.size(); ++b) {
    const int64_t row = blocks.channel[b] * pad.rows + blocks.row[b] * o.dilation.h;
    const int64_t at = row * pad.cols + blocks.column[b] * o.dilation.w;
    ESPALIER_CHECK(at * detail::kVectorBytes <= INT32_MAX,
                   ValueError,
                   "int8_conv2d: an image of more than 2^31 bytes");
    offsets[b] = static_cast<int32_t>(at * detail::kVectorBytes);
  }
  std::vector<float> scale(static_cast<size_t>(s.k));
  for (size_t k = 0; k < scale.size(); ++k) scale[k] = grid.scale * weight.scale[k];

  float* const out = y.data<float>();
  const float* const shift = bias.defined() ? bias.data<float>() : nullptr;
  const int64_t parts = (s.k + kTaskChannels - 1) / kTaskChannels;
  parallel_for(images * s.p * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t part = task % parts;
      const int64_t row = task / parts % s.p;
      const int64_t image = task / parts / s.p;
      const uint8_t* const origin =
          packed + image * pad.bytes() + row * o.stride.h * pad.cols * detail::kVectorBytes;
      const auto lanes = static_cast<int>(std::min(kLanes, s.n - image * kLanes));
      for (int64_t q = 0; q < s.q; q += kTilePositions) {
        const auto positions = static_cast<int>(std::min<int64_t>(kTilePositions, s.q - q));
        const int64_t last = std::min(s.k, (part + 1) * kTaskChannels);
        for (int64_t k = part * kTaskChannels; k < last; ++k) {
          const int32_t first = blocks.first[static_cast<size_t>(k)];
          detail::int8_tile({.in = origin + q * o.stride.w * detail::kVectorBytes,
                             .step = o.stride.w * detail::kVectorBytes,
                             .offsets = offsets.data() + first,
                             .weights = blocks.weights.data() + first,
                             .count = blocks.first[static_cast<size_t>(k) + 1] - first,
                             .start = -grid.zero * weight.sums[static_cast<size_t>(k)],
                             .scale = scale[static_cast<size_t>(k)],
                             .bias = shift == nullptr ? 0.0F : shift[k],
                             .lanes = lanes,
                             .out = out + (((image * s.k + k) * s.p + row) * s.q + q) * kLanes},
                            positions);
        }
      }
    }
  });
  count_macs(4 * blocks.size() * s.p * s.q * s.n);
}

const char* int8_kernel() {
  return detail::has_vnni() ? "avx512-vnni" : "portable";
}

namespace reference {

void int8_conv2d(const Conv2dShape& s,
                 const Tensor& x,
                 const AffineGrid& grid,
                 const Int8Weight& weight,
                 const Tensor& bias,
                 Tensor& y) {
  check(s, x, weight, bias, y);
  const std::vector<float> in = x.to_vector<float>();
  std::vector<float> out(static_cast<size_t>(y.numel()));
  const Conv2dOptions& o = s.options;
  const int64_t c = s.c / o.groups;
  size_t at = 0;
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t k = 0; k < s.k; ++k) {
      for (int64_t p = 0; p < s.p; ++p) {
        for (int64_t q = 0; q < s.q; ++q) {
          int32_t sum = 0;
          for (int64_t i = 0; i < c * s.r * s.s; ++i) {
            const int64_t row = p * o.stride.h - o.padding.h + i / s.s % s.r * o.dilation.h;
            const int64_t col = q * o.stride.w - o.padding.w + i % s.s * o.dilation.w;
            if (row < 0 || row >= s.h || col < 0 || col >= s.w) continue;
            const int64_t channel = k / (s.k / o.groups) * c + i / (s.r * s.s);
            const float v = in[static_cast<size_t>(((n * s.c + channel) * s.h + row) * s.w + col)];
            sum += (int32_t{grid.quantize(v)} - grid.zero) *
                   weight.q[static_cast<size_t>(k * c * s.r * s.s + i)];
          }
          const float scale = grid.scale * weight.scale[static_cast<size_t>(k)];
          const float shift = bias.defined() ? bias.data<float>()[k] : 0.0F;
          out[at++] = std::fma(static_cast<float>(sum), scale, shift);
        }
      }
    }
  }
  y.copy_(Tensor::from<float>(y.shape(), out));
}

}  // namespace reference

}  // namespace espalier::sparse
