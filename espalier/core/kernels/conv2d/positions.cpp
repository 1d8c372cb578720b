// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/positions.h>

#include <algorithm>
#include <cstring>

#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/conv2d/positions.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr int64_t kVector = hn::MaxLanes(D());

/// Dot products of one weight with B windows: one load of the weight serves them all.
template <int B>
HWY_INLINE void dots(const float* HWY_RESTRICT weights,
                     const int32_t* HWY_RESTRICT offsets,
                     int64_t vectors,
                     const float* const* windows,
                     float* sums) {
  const D d;
  V acc[B];
  HWY_UNROLL(8)
  for (int b = 0; b < B; ++b) acc[b] = hn::Zero(d);
  const float* HWY_RESTRICT x[B];
  HWY_UNROLL(8)
  for (int b = 0; b < B; ++b) x[b] = windows[b];
  for (int64_t v = 0; v < vectors; ++v) {
    const int64_t at = offsets[v];
    HWY_UNROLL(4)
    for (int64_t part = 0; part < 16; part += kVector) {
      const V w = hn::LoadU(d, weights + v * 16 + part);
      HWY_UNROLL(8)
      for (int b = 0; b < B; ++b) {
        acc[b] = hn::MulAdd(w, hn::LoadU(d, x[b] + at + part), acc[b]);
      }
    }
  }
  HWY_UNROLL(8)
  for (int b = 0; b < B; ++b) sums[b] = hn::GetLane(hn::SumOfLanes(d, acc[b]));
}

/// The same for `count` windows, 1 to 8; unused ones repeat the first.
void window_dots(const float* weights,
                 const int32_t* offsets,
                 int64_t vectors,
                 const float* const* windows,
                 int64_t count,
                 float* sums) {
  if (count > 4) return dots<8>(weights, offsets, vectors, windows, sums);
  if (count > 1) return dots<4>(weights, offsets, vectors, windows, sums);
  dots<1>(weights, offsets, vectors, windows, sums);
}

/// out[w * channels + c] = x[c * plane + w] for w < width: a row of an image, channels innermost.
void interleave_row(
    const float* HWY_RESTRICT x, int64_t plane, int64_t width, int64_t channels, float* out) {
  const hn::CappedTag<float, 4> d;  // on every target: four channels of four pixels
  int64_t c = 0;
  for (; hn::MaxLanes(d) == 4 && c + 4 <= channels; c += 4) {
    const float* row = x + c * plane;
    int64_t w = 0;
    for (; w + 4 <= width; w += 4) {
      HWY_ALIGN float pixels[16];
      hn::StoreInterleaved4(hn::LoadU(d, row + w),
                            hn::LoadU(d, row + plane + w),
                            hn::LoadU(d, row + 2 * plane + w),
                            hn::LoadU(d, row + 3 * plane + w),
                            d,
                            pixels);
      HWY_UNROLL(4)
      for (int64_t i = 0; i < 4; ++i) {
        hn::StoreU(hn::Load(d, pixels + 4 * i), d, out + (w + i) * channels + c);
      }
    }
    for (; w < width; ++w) {
      for (int64_t i = 0; i < 4; ++i) out[w * channels + c + i] = row[i * plane + w];
    }
  }
  for (; c < channels; ++c) {
    for (int64_t w = 0; w < width; ++w) out[w * channels + c] = x[c * plane + w];
  }
}

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::detail {
namespace {

HWY_EXPORT(window_dots);
HWY_EXPORT(interleave_row);

constexpr int64_t kWindows = 8;

/// A contiguous stretch of a window in the copied input.
struct Run {
  int64_t offset;     // from the window's first float
  int64_t first_tap;  // r*S + s
  int64_t taps;       // neighbouring columns
};

std::vector<Run> window_runs(const Conv2dShape& shape, int64_t cols) {
  const auto& [stride, padding, dilation, groups] = shape.options;
  std::vector<Run> out;
  for (int64_t r = 0; r < shape.r; ++r) {
    const int64_t row = r * dilation.h * cols;
    if (dilation.w == 1) {
      out.push_back({row * shape.c, r * shape.s, shape.s});
      continue;
    }
    for (int64_t s = 0; s < shape.s; ++s) {
      out.push_back({(row + s * dilation.w) * shape.c, r * shape.s + s, 1});
    }
  }
  return out;
}

}  // namespace

ConvAtPositions::ConvAtPositions(const Conv2dShape& shape, const float* weight, int64_t parts)
    : shape_(shape),
      parts_(parts),
      rows_(shape.h + 2 * shape.options.padding.h),
      cols_(shape.w + 2 * shape.options.padding.w) {
  simd_target();  // chooses the target at the first call
  dots_ = HWY_DYNAMIC_DISPATCH(window_dots);
  interleave_ = HWY_DYNAMIC_DISPATCH(interleave_row);
  const int64_t part_in = shape.c / parts;
  const int64_t part_out = shape.k / parts;
  const int64_t taps = shape.r * shape.s;
  for (int64_t g = 0; g < parts; ++g) {
    const auto left_out = [&](int64_t c) { return c / part_in == g; };
    struct Entry {
      int64_t place, c, tap;  // in the packed row, and in the weight
    };
    std::vector<int32_t>& offsets = offsets_.emplace_back();
    std::vector<Entry> entries;
    for (const Run& run : window_runs(shape, cols_)) {
      for (int64_t begin = 0; begin < run.taps * shape.c; begin += 16) {
        const int64_t end = std::min(begin + 16, run.taps * shape.c);
        const size_t before = entries.size();
        for (int64_t i = begin; i < end; ++i) {
          if (left_out(i % shape.c)) continue;
          entries.push_back({static_cast<int64_t>(offsets.size()) * 16 + i - begin,
                             i % shape.c,
                             run.first_tap + i / shape.c});
        }
        if (entries.size() > before) offsets.push_back(static_cast<int32_t>(run.offset + begin));
      }
    }
    const auto row = static_cast<int64_t>(offsets.size()) * 16;
    std::vector<float>& packed = weights_.emplace_back(static_cast<size_t>(part_out * row), 0.0F);
    for (int64_t o = 0; o < part_out; ++o) {
      const float* filter = weight + (g * part_out + o) * shape.c * taps;
      for (const Entry& e : entries) {
        packed[static_cast<size_t>(o * row + e.place)] = filter[e.c * taps + e.tap];
      }
    }
  }
}

int64_t ConvAtPositions::nbytes() const {
  size_t sum = 0;
  for (const auto& offsets : offsets_) sum += offsets.size() * sizeof(int32_t);
  for (const auto& weights : weights_) sum += weights.size() * sizeof(float);
  return static_cast<int64_t>(sum);
}

void ConvAtPositions::fill(const float* x, int64_t first, int64_t last, float* scratch) const {
  const int64_t pitch = cols_ * shape_.c;
  const auto zero = [](float* p, int64_t n) {
    std::memset(p, 0, static_cast<size_t>(n) * sizeof(float));
  };
  for (int64_t row = first; row < last; ++row) {
    float* out = scratch + row * pitch;
    const int64_t h = row - shape_.options.padding.h;
    if (h < 0 || h >= shape_.h) {
      zero(out, pitch);
      continue;
    }
    const int64_t margin = shape_.options.padding.w * shape_.c;
    zero(out, margin);
    zero(out + pitch - margin, margin);
    interleave_(x + h * shape_.w, shape_.h * shape_.w, shape_.w, shape_.c, out + margin);
  }
  if (last == rows_) zero(scratch + rows_ * pitch, kSlack);
}

void ConvAtPositions::add(int64_t k,
                          const float* scratch,
                          std::span<const int32_t> positions,
                          float* y) const {
  const int64_t part_out = shape_.k / parts_;
  const auto group = static_cast<size_t>(k / part_out);
  const std::vector<int32_t>& offsets = offsets_[group];
  const auto vectors = static_cast<int64_t>(offsets.size());
  const float* weights = weights_[group].data() + k % part_out * vectors * 16;
  const Pair stride = shape_.options.stride;
  for (size_t i = 0; i < positions.size(); i += kWindows) {
    const size_t count = std::min<size_t>(kWindows, positions.size() - i);
    const float* windows[kWindows];
    for (size_t b = 0; b < kWindows; ++b) {
      const int64_t p = positions[i + (b < count ? b : 0)];
      windows[b] = scratch + (p / shape_.q * stride.h * cols_ + p % shape_.q * stride.w) * shape_.c;
    }
    float sums[kWindows];
    dots_(weights, offsets.data(), vectors, windows, static_cast<int64_t>(count), sums);
    for (size_t b = 0; b < count; ++b) y[positions[i + b]] += sums[b];
  }
}

}  // namespace espalier::detail
#endif
