// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/group_norm.h>

#include <algorithm>
#include <cmath>

#include <espalier/core/kernels/clones.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

constexpr int64_t kGrain = 8192;       // elements of one task
constexpr int64_t kChannelBlock = 64;  // channels whose parameter gradients are summed together

/// Memory of x: [blocks][groups][channels per group][positions][lanes].
struct Sizes {
  Sizes(const Tensor& x, int64_t groups)
      : lanes(x.layout() == Layout::Nchw16n ? kLanes : 1),
        blocks(lanes == 1 ? x.size(0) : lane_blocks(x.size(0))),
        groups(groups),
        channels(x.size(1) / groups),
        positions(x.size(2)) {}
  int64_t lanes, blocks, groups, channels, positions;
  int64_t group_size() const { return channels * positions; }
};

/// Calls body(task) for all groups of all blocks, in parallel.
template <class Body>
void for_groups(const Sizes& s, Body body) {
  const int64_t work = std::max<int64_t>(1, s.group_size() * s.lanes);
  parallel_for(
      s.blocks * s.groups, std::max<int64_t>(1, kGrain / work), [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) body(task);
      });
}

/// The accumulators of one group. In plain memory eight elements in turn go to eight sums, which
/// are added at the end: the same order always, and wide vectors.
template <int kL>
struct Sums {
  static constexpr int kWidth = kL == 1 ? 8 : kL;
  double part[kWidth] = {};

  void finish(double* out) const {
    if constexpr (kL == 1) {
      *out =
          ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]));
    } else {
      std::copy_n(part, kL, out);
    }
  }
};

/// sums += f(i) for the elements i of a group, lane by lane.
template <int kL, class F>
ESPALIER_INLINE void accumulate(Sums<kL>& sums, int64_t elements, F f) {
  constexpr int kWidth = Sums<kL>::kWidth;
  int64_t i = 0;
  for (; i + kWidth <= elements; i += kWidth) {
    for (int l = 0; l < kWidth; ++l) sums.part[l] += f(i + l);
  }
  for (int l = 0; i + l < elements; ++l) sums.part[l] += f(i + l);
}

template <class T, int kL>
ESPALIER_INLINE void statistics_of(
    const T* x, int64_t size, double eps, double* mean, double* rstd) {
  const int64_t elements = size * kL;
  Sums<kL> sums;
  accumulate<kL>(sums, elements, [=](int64_t i) { return static_cast<double>(x[i]); });
  sums.finish(mean);
  for (int l = 0; l < kL; ++l) mean[l] /= static_cast<double>(size);
  Sums<kL> squares;
  accumulate<kL>(squares, elements, [=](int64_t i) {
    const double d = static_cast<double>(x[i]) - mean[kL == 1 ? 0 : i % kL];
    return d * d;
  });
  squares.finish(rstd);
  for (int l = 0; l < kL; ++l) {
    rstd[l] = 1.0 / std::sqrt(rstd[l] / static_cast<double>(size) + eps);
  }
}

/// Calls f(element, channel, lane) for the elements of a group.
template <int kL, class F>
ESPALIER_INLINE void each(const Sizes& s, F f) {
  if (kL == 1 && s.positions == 1) {
    for (int64_t c = 0; c < s.channels; ++c) f(c, c, 0);
    return;
  }
  for (int64_t c = 0; c < s.channels; ++c) {
    for (int64_t p = 0; p < s.positions; ++p) {
      for (int l = 0; l < kL; ++l) f((c * s.positions + p) * kL + l, c, l);
    }
  }
}

template <class T, int kL>
ESPALIER_INLINE void forward_group(const Sizes& s,
                                   const T* x,
                                   const T* gamma,
                                   const T* beta,
                                   double eps,
                                   double* mean,
                                   double* rstd,
                                   T* y) {
  statistics_of<T, kL>(x, s.group_size(), eps, mean, rstd);
  T m[kL], r[kL];
  for (int l = 0; l < kL; ++l) {
    m[l] = static_cast<T>(mean[l]);
    r[l] = static_cast<T>(rstd[l]);
  }
  each<kL>(s,
           [&](int64_t i, int64_t c, int l) { y[i] = (x[i] - m[l]) * r[l] * gamma[c] + beta[c]; });
}

template <class T, int kL>
ESPALIER_INLINE void backward_group(const Sizes& s,
                                    const T* x,
                                    const T* dy,
                                    const T* gamma,
                                    const double* mean,
                                    const double* rstd,
                                    T* dx) {
  T m[kL], r[kL];
  double sum_h[kL] = {}, sum_hx[kL] = {};
  for (int l = 0; l < kL; ++l) {
    m[l] = static_cast<T>(mean[l]);
    r[l] = static_cast<T>(rstd[l]);
  }
  if (kL == 1 && s.positions == 1) {
    Sums<kL> h, hx;
    accumulate<kL>(h, s.channels, [=](int64_t i) { return static_cast<double>(dy[i] * gamma[i]); });
    accumulate<kL>(hx, s.channels, [=](int64_t i) {
      return static_cast<double>(dy[i] * gamma[i] * ((x[i] - m[0]) * r[0]));
    });
    h.finish(sum_h);
    hx.finish(sum_hx);
  } else {
    each<kL>(s, [&](int64_t i, int64_t c, int l) {
      const T h = dy[i] * gamma[c];
      sum_h[l] += h;
      sum_hx[l] += h * ((x[i] - m[l]) * r[l]);
    });
  }
  T mean_h[kL], mean_hx[kL];
  for (int l = 0; l < kL; ++l) {
    mean_h[l] = static_cast<T>(sum_h[l] / static_cast<double>(s.group_size()));
    mean_hx[l] = static_cast<T>(sum_hx[l] / static_cast<double>(s.group_size()));
  }
  each<kL>(s, [&](int64_t i, int64_t c, int l) {
    dx[i] = r[l] * (dy[i] * gamma[c] - mean_h[l] - (x[i] - m[l]) * r[l] * mean_hx[l]);
  });
}

/// by_gamma[c] += sum dy xhat and by_beta[c] += sum dy of `channels` channels of one group.
template <class T, int kL>
ESPALIER_INLINE void parameter_sums(const Sizes& s,
                                    const T* x,
                                    const T* dy,
                                    const double* mean,
                                    const double* rstd,
                                    int64_t channels,
                                    double* by_gamma,
                                    double* by_beta) {
  if (kL == 1 && s.positions == 1) {
    for (int64_t c = 0; c < channels; ++c) {
      by_beta[c] += dy[c];
      by_gamma[c] += dy[c] * ((x[c] - mean[0]) * rstd[0]);
    }
    return;
  }
  for (int64_t c = 0; c < channels; ++c) {
    double g[kL] = {}, gx[kL] = {};
    for (int64_t p = 0; p < s.positions; ++p) {
      const int64_t i = (c * s.positions + p) * kL;
      for (int l = 0; l < kL; ++l) {
        g[l] += dy[i + l];
        gx[l] += dy[i + l] * ((x[i + l] - mean[l]) * rstd[l]);
      }
    }
    for (int l = 0; l < kL; ++l) {
      by_beta[c] += g[l];
      by_gamma[c] += gx[l];
    }
  }
}

// The cloned entry points, one per element type: sixteen lanes or single elements.
#define ESPALIER_GROUP_NORM_KERNELS(T)                                              \
  ESPALIER_CLONES void run_forward(const Sizes& s,                                  \
                                   const T* x,                                      \
                                   const T* gamma,                                  \
                                   const T* beta,                                   \
                                   double eps,                                      \
                                   double* mean,                                    \
                                   double* rstd,                                    \
                                   T* y) {                                          \
    if (s.lanes == kLanes) {                                                        \
      forward_group<T, kLanes>(s, x, gamma, beta, eps, mean, rstd, y);              \
    } else {                                                                        \
      forward_group<T, 1>(s, x, gamma, beta, eps, mean, rstd, y);                   \
    }                                                                               \
  }                                                                                 \
  ESPALIER_CLONES void run_backward(const Sizes& s,                                 \
                                    const T* x,                                     \
                                    const T* dy,                                    \
                                    const T* gamma,                                 \
                                    const double* mean,                             \
                                    const double* rstd,                             \
                                    T* dx) {                                        \
    if (s.lanes == kLanes) {                                                        \
      backward_group<T, kLanes>(s, x, dy, gamma, mean, rstd, dx);                   \
    } else {                                                                        \
      backward_group<T, 1>(s, x, dy, gamma, mean, rstd, dx);                        \
    }                                                                               \
  }                                                                                 \
  ESPALIER_CLONES void run_sums(const Sizes& s,                                     \
                                const T* x,                                         \
                                const T* dy,                                        \
                                const double* mean,                                 \
                                const double* rstd,                                 \
                                int64_t channels,                                   \
                                double* by_gamma,                                   \
                                double* by_beta) {                                  \
    if (s.lanes == kLanes) {                                                        \
      parameter_sums<T, kLanes>(s, x, dy, mean, rstd, channels, by_gamma, by_beta); \
    } else {                                                                        \
      parameter_sums<T, 1>(s, x, dy, mean, rstd, channels, by_gamma, by_beta);      \
    }                                                                               \
  }
ESPALIER_GROUP_NORM_KERNELS(float)
ESPALIER_GROUP_NORM_KERNELS(double)
#undef ESPALIER_GROUP_NORM_KERNELS

/// dgamma and dbeta of channels [first, last), over all samples in order.
template <class T>
void parameter_gradients(const Sizes& s,
                         const T* x,
                         const T* dy,
                         const GroupStatistics& statistics,
                         int64_t first,
                         int64_t last,
                         T* dgamma,
                         T* dbeta) {
  double by_gamma[kChannelBlock] = {}, by_beta[kChannelBlock] = {};
  const int64_t all = s.groups * s.channels;
  for (int64_t b = 0; b < s.blocks; ++b) {
    // Channels of one group share their statistics.
    for (int64_t c = first; c < last;) {
      const int64_t group = c / s.channels;
      const int64_t end = std::min(last, (group + 1) * s.channels);
      const int64_t start = (b * all + c) * s.positions * s.lanes;
      const int64_t lane = (b * s.groups + group) * s.lanes;
      run_sums(s,
               x + start,
               dy + start,
               statistics.mean.data<double>() + lane,
               statistics.rstd.data<double>() + lane,
               end - c,
               by_gamma + (c - first),
               by_beta + (c - first));
      c = end;
    }
  }
  for (int64_t c = first; c < last; ++c) {
    dgamma[c] = static_cast<T>(by_gamma[c - first]);
    dbeta[c] = static_cast<T>(by_beta[c - first]);
  }
}

}  // namespace

GroupStatistics group_norm_forward(const Tensor& x,
                                   int64_t groups,
                                   const Tensor& gamma,
                                   const Tensor& beta,
                                   double eps,
                                   Tensor& y) {
  const Sizes s(x, groups);
  const Shape shape = {s.blocks, s.groups, s.lanes};
  GroupStatistics out{Tensor::empty(shape, DType::F64), Tensor::empty(shape, DType::F64)};
  dispatch_floating(x.dtype(), "group_norm", [&](auto zero) {
    using T = decltype(zero);
    for_groups(s, [&](int64_t task) {
      const int64_t start = task * s.group_size() * s.lanes;
      const int64_t channel = task % s.groups * s.channels;
      run_forward(s,
                  x.data<T>() + start,
                  gamma.data<T>() + channel,
                  beta.data<T>() + channel,
                  eps,
                  out.mean.data<double>() + task * s.lanes,
                  out.rstd.data<double>() + task * s.lanes,
                  y.data<T>() + start);
    });
  });
  zero_padding_lanes(y);
  // Padding lanes have variance 0, and without eps 1/sqrt(0) would make their 0 a NaN.
  const int64_t used = x.size(0) % kLanes;
  if (s.lanes == kLanes && used != 0) {
    double* rstd = out.rstd.data<double>() + (s.blocks - 1) * s.groups * kLanes;
    for (int64_t g = 0; g < s.groups; ++g)
      std::fill(rstd + g * kLanes + used, rstd + (g + 1) * kLanes, 0.0);
  }
  return out;
}

void group_norm_backward(const Tensor& x,
                         const Tensor& dy,
                         int64_t groups,
                         const Tensor& gamma,
                         const GroupStatistics& statistics,
                         Tensor& dx,
                         Tensor& dgamma,
                         Tensor& dbeta) {
  const Sizes s(x, groups);
  dispatch_floating(x.dtype(), "group_norm", [&](auto zero) {
    using T = decltype(zero);
    for_groups(s, [&](int64_t task) {
      const int64_t start = task * s.group_size() * s.lanes;
      run_backward(s,
                   x.data<T>() + start,
                   dy.data<T>() + start,
                   gamma.data<T>() + task % s.groups * s.channels,
                   statistics.mean.data<double>() + task * s.lanes,
                   statistics.rstd.data<double>() + task * s.lanes,
                   dx.data<T>() + start);
    });
    parallel_for(s.groups * s.channels, kChannelBlock, [&](int64_t begin, int64_t end) {
      parameter_gradients<T>(
          s, x.data<T>(), dy.data<T>(), statistics, begin, end, dgamma.data<T>(), dbeta.data<T>());
    });
  });
}

}  // namespace espalier
