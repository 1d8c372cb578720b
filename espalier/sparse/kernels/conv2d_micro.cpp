// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/conv2d_micro.h>

#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/sparse/kernels/conv2d_micro.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <espalier/sparse/kernels/tile-inl.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::sparse::detail::HWY_NAMESPACE {
template <TileShape kShape, int kInStep, int kOutStep>
void forward_tile(const ForwardJob& job) {
  using T = Tile<kShape>;
  const D d;
  const TileStrides in_strides = with_step<kInStep>(job.in_strides);
  const TileStrides out_strides = with_step<kOutStep>(job.out_strides);
  const bool full = T::full(job.exist);
  const int32_t* HWY_RESTRICT offsets = job.entries.offsets;
  const float* HWY_RESTRICT values = job.entries.values;
  Fetcher fetcher(job.ahead, job.entries.channels);
  for (int64_t k = 0; k < job.entries.channels; ++k) {
    fetcher.next_channel();
    const int64_t begin = job.entries.bounds[k];
    const int64_t end = job.entries.bounds[k + 1];
    if (job.accumulate && begin == end) continue;
    if (full) T::prefetch(job.out + (k + kAhead) * job.out_channel, out_strides);
    for (int64_t lane = 0; lane < 16; lane += kVector) {
      const float* HWY_RESTRICT in = job.in + lane;
      float* HWY_RESTRICT out = job.out + k * job.out_channel + lane;
      T acc;
      if (!job.accumulate) {
        acc.set(hn::Set(d, job.start != nullptr ? job.start[k] : 0.0f));
      } else if (full) {
        acc.load(out, out_strides);
      } else {
        acc.load_part(out, out_strides, job.exist);
      }
      for (int64_t i = begin; i < end; ++i) {
        const V w = hn::Set(d, values[i]);
        const float* HWY_RESTRICT at = in + offsets[i];
        HWY_UNROLL(8)
        for (int j = 0; j < T::kVectors; ++j) {
          acc.v[j] = hn::MulAdd(w, hn::Load(d, at + T::offset(j, in_strides)), acc.v[j]);
        }
      }
      if (full && job.stream) {
        acc.template store<true>(out, out_strides);
      } else if (full) {
        acc.store(out, out_strides);
      } else {
        acc.store_part(out, out_strides, job.exist);
      }
    }
  }
}

// x of channel k read through the job's map, as scale_shift rounds it; zero where nothing exists.
template <class T>
HWY_INLINE void map_existing(T& x, const BackwardJob& job, int64_t k) {
  const D d;
  const V scale = hn::Set(d, job.x_scale[k]);
  const V shift = hn::Set(d, job.x_shift[k]);
  HWY_UNROLL(8)
  for (int j = 0; j < T::kVectors; ++j) {
    V v = hn::MulAdd(scale, x.v[j], shift);
    if (job.x_relu) v = hn::IfThenZeroElse(hn::Le(v, hn::Zero(d)), v);
    x.v[j] = T::exists(j, job.exist) ? v : hn::Zero(d);
  }
}

// dx of channel k where x, which was read through a map with a ReLU, is more than 0 (or a NaN);
// adds what is left to the channel's sums.
template <class T>
HWY_INLINE void close(T& dx, const T& x, const BackwardJob& job, int64_t k, int64_t lane) {
  const D d;
  const V center = hn::Set(d, job.center[k]);
  float* HWY_RESTRICT sums = job.sums + k * 32 + lane;
  T raw;
  const TileStrides& strides = job.x_strides;
  const float* at = job.x + k * job.x_channel + lane;
  if (T::full(job.exist)) {
    raw.load(at, strides);
  } else {
    raw.load_part(at, strides, job.exist);
  }
  V sum = hn::Zero(d), sum_x = hn::Zero(d);
  HWY_UNROLL(8)
  for (int j = 0; j < T::kVectors; ++j) {
    const V g = hn::IfThenZeroElse(hn::Le(x.v[j], hn::Zero(d)), dx.v[j]);
    dx.v[j] = g;
    sum = hn::Add(sum, g);
    sum_x = hn::MulAdd(g, hn::Sub(raw.v[j], center), sum_x);
  }
  hn::Store(hn::Add(hn::Load(d, sums), sum), d, sums);
  hn::Store(hn::Add(hn::Load(d, sums + 16), sum_x), d, sums + 16);
}

template <TileShape kShape, int kStep, bool kData>
void backward_tile(const BackwardJob& job) {
  using T = Tile<kShape>;
  const D d;
  const TileStrides x_strides = with_step<kStep>(job.x_strides);
  const TileStrides dy_strides = with_step<1>(job.dy_strides);
  const bool full = T::full(job.exist);
  const int32_t* HWY_RESTRICT offsets = job.entries.offsets;
  const float* HWY_RESTRICT values = job.entries.values;
  Fetcher fetcher(job.ahead, job.entries.channels);
  for (int64_t k = 0; k < job.entries.channels; ++k) {
    fetcher.next_channel();
    const int64_t begin = job.entries.bounds[k];
    const int64_t end = job.entries.bounds[k + 1];
    if (begin == end && (job.accumulate || !kData) && job.sums == nullptr) continue;
    if (full) {
      const int64_t next = (k + kAhead) * job.x_channel;
      T::prefetch(job.x + next, x_strides);
      if constexpr (kData) T::prefetch(job.dx + next, x_strides);
    }
    for (int64_t lane = 0; lane < 16; lane += kVector) {
      const float* HWY_RESTRICT dy = job.dy + lane;
      float* HWY_RESTRICT partials = job.partials + lane;
      const int64_t channel = k * job.x_channel + lane;
      T x, dx;
      if (full) {
        x.load(job.x + channel, x_strides);
      } else {
        x.load_part(job.x + channel, x_strides, job.exist);
      }
      if (job.x_scale != nullptr) map_existing(x, job, k);
      if constexpr (kData) {
        if (!job.accumulate) {
          dx.set(hn::Zero(d));
        } else if (full) {
          dx.load(job.dx + channel, x_strides);
        } else {
          dx.load_part(job.dx + channel, x_strides, job.exist);
        }
      }
      float* HWY_RESTRICT partial = partials + (begin - job.first_partial) * 16;
      for (int64_t i = begin; i < end; ++i, partial += 16) {
        const float* HWY_RESTRICT at = dy + offsets[i];
        V w;
        if constexpr (kData) w = hn::Set(d, values[i]);
        // Two chains, to hide the latency of the adds.
        V sum[2] = {hn::Load(d, partial), hn::Zero(d)};
        HWY_UNROLL(8)
        for (int j = 0; j < T::kVectors; ++j) {
          const V g = hn::Load(d, at + T::offset(j, dy_strides));
          if constexpr (kData) dx.v[j] = hn::MulAdd(w, g, dx.v[j]);
          sum[j % 2] = hn::MulAdd(x.v[j], g, sum[j % 2]);
        }
        hn::Store(hn::Add(sum[0], sum[1]), d, partial);
      }
      if constexpr (kData) {
        if (job.sums != nullptr) close(dx, x, job, k, lane);
        if (full && job.stream) {
          dx.template store<true>(job.dx + channel, x_strides);
        } else if (full) {
          dx.store(job.dx + channel, x_strides);
        } else {
          dx.store_part(job.dx + channel, x_strides, job.exist);
        }
      }
    }
  }
}

// Calls with the tile's shape as a constant.
#define ESPALIER_FOR_SHAPE(function, ...)                  \
  switch (job.shape) {                                     \
    case TileShape::Plane:                                 \
      return function<TileShape::Plane, __VA_ARGS__>(job); \
    case TileShape::Pair:                                  \
      return function<TileShape::Pair, __VA_ARGS__>(job);  \
    case TileShape::Point:                                 \
      return function<TileShape::Point, __VA_ARGS__>(job); \
    default:                                               \
      return; /* of blocks */                              \
  }

void forward_of_strides(const ForwardJob& job) {
  if (job.in_strides.col == 32) {
    ESPALIER_FOR_SHAPE(forward_tile, 2, 1)
  } else if (job.out_strides.col == 32) {
    ESPALIER_FOR_SHAPE(forward_tile, 1, 2)
  } else {
    ESPALIER_FOR_SHAPE(forward_tile, 1, 1)
  }
}

void forward(const ForwardJob& job) {
  forward_of_strides(job);
  if (job.stream) finish_streaming();
}

template <int kStep>
void backward_with_step(const BackwardJob& job) {
  if (job.dx != nullptr) {
    ESPALIER_FOR_SHAPE(backward_tile, kStep, true)
  } else {
    ESPALIER_FOR_SHAPE(backward_tile, kStep, false)
  }
}
#undef ESPALIER_FOR_SHAPE

void backward(const BackwardJob& job) {
  job.x_strides.col == 32 ? backward_with_step<2>(job) : backward_with_step<1>(job);
  if (job.stream) finish_streaming();
}

}  // namespace espalier::sparse::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::sparse::detail {

HWY_EXPORT(forward);
HWY_EXPORT(backward);

SparseConvKernels sparse_conv_kernels() {
  simd_target();  // chooses the target at the first call
  return {HWY_DYNAMIC_DISPATCH(forward), HWY_DYNAMIC_DISPATCH(backward)};
}

}  // namespace espalier::sparse::detail
#endif
