// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/batch_norm.h>

#include <espalier/core/kernels/batch_norm_runs.h>
#include <espalier/core/parallel.h>
#include <espalier/core/simd.h>

namespace espalier {
namespace {

constexpr int64_t kGrain = 32768;  // elements of a task

/// A tensor as [blocks][channels][length], where a run of `length` elements is contiguous.
struct Runs {
  int64_t blocks = 0;
  int64_t channels = 0;
  int64_t length = 0;
  int64_t last_lanes = kLanes;  // valid lanes of the last block

  explicit Runs(const Tensor& x) {
    ESPALIER_CHECK(x.rank() >= 2, ShapeError, "batch norm: expects x (N,C,..), got ", x.shape());
    const bool lanes = x.layout() == Layout::Nchw16n;
    const int64_t n = x.shape()[0];
    blocks = lanes ? lane_blocks(n) : n;
    channels = x.shape()[1];
    length = lanes ? kLanes : 1;
    for (int d = 2; d < x.rank(); ++d) length *= x.shape()[d];
    if (lanes && n % kLanes != 0) last_lanes = n % kLanes;
  }

  /// body(run, channel, offset) for every run, in parallel.
  void each(FunctionRef<void(int64_t, int64_t, int64_t)> body) const {
    if (length == 0) return;
    simd_target();  // chooses the kernels at the first call
    parallel_for(blocks * channels, 1 + kGrain / length, [&](int64_t begin, int64_t end) {
      for (int64_t run = begin; run < end; ++run) body(run, run % channels, run * length);
    });
  }
};

detail::GateCoefficients coefficients(const ReluGate& gate, int64_t channel) {
  if (gate.scale.empty()) return {};
  const auto c = static_cast<size_t>(channel);
  return {.relu = true, .scale = gate.scale[c], .shift = gate.shift[c]};
}

/// run(element type, channel, offset, n, two sums) for every run; the sums are added per channel in
/// order.
template <class RunSums>
ChannelSums sums_over_runs(const Tensor& x, RunSums run_sums) {
  const Runs runs(x);
  std::vector<double> partial(static_cast<size_t>(2 * runs.blocks * runs.channels));
  dispatch_floating(x.dtype(), "batch norm", [&](auto zero) {
    runs.each([&](int64_t run, int64_t channel, int64_t offset) {
      run_sums(zero, channel, offset, runs.length, &partial[static_cast<size_t>(2 * run)]);
    });
  });
  ChannelSums out;
  for (int64_t c = 0; c < runs.channels; ++c) {
    double g = 0.0;
    double g_x = 0.0;
    for (int64_t b = 0; b < runs.blocks; ++b) {
      const auto at = static_cast<size_t>(2 * (b * runs.channels + c));
      g += partial[at];
      g_x += partial[at + 1];
    }
    out.g.push_back(g);
    out.g_x.push_back(g_x);
  }
  return out;
}

}  // namespace

ChannelMoments channel_moments(const Tensor& x) {
  const Tensor source = x.contiguous();
  const Runs runs(source);
  std::vector<detail::RunMoments> partial(static_cast<size_t>(runs.blocks * runs.channels));
  dispatch_floating(x.dtype(), "batch norm", [&](auto zero) {
    using T = decltype(zero);
    runs.each([&](int64_t run, int64_t, int64_t offset) {
      const bool last = run / runs.channels == runs.blocks - 1;
      partial[static_cast<size_t>(run)] = detail::run_moments(
          source.data<T>() + offset, runs.length, last ? runs.last_lanes : kLanes);
    });
  });
  ChannelMoments out;
  for (int64_t c = 0; c < runs.channels; ++c) {
    detail::RunMoments all;
    for (int64_t b = 0; b < runs.blocks; ++b) {
      const detail::RunMoments& m = partial[static_cast<size_t>(b * runs.channels + c)];
      if (m.count == 0.0) continue;
      const double count = all.count + m.count;
      const double delta = m.mean - all.mean;
      all.m2 += m.m2 + delta * delta * (all.count * m.count / count);
      all.mean += delta * (m.count / count);
      all.count = count;
    }
    out.mean.push_back(all.mean);
    out.var.push_back(all.count > 0.0 ? all.m2 / all.count : 0.0);
  }
  return out;
}

void scale_shift(const Tensor& x,
                 const std::vector<double>& scale,
                 const std::vector<double>& shift,
                 bool relu,
                 Tensor& y,
                 const Tensor& residual) {
  const Tensor source = x.contiguous();
  const Tensor added = residual.defined() ? residual.to(x.layout()).contiguous() : Tensor();
  const Runs runs(source);
  dispatch_floating(x.dtype(), "batch norm", [&](auto zero) {
    using T = decltype(zero);
    runs.each([&](int64_t, int64_t channel, int64_t offset) {
      const auto c = static_cast<size_t>(channel);
      detail::run_scale_shift(source.data<T>() + offset,
                              added.defined() ? added.data<T>() + offset : nullptr,
                              runs.length,
                              {.relu = relu, .scale = scale[c], .shift = shift[c]},
                              y.data<T>() + offset);
    });
  });
  zero_padding_lanes(y);
}

Tensor through_map(const MappedTensor& x) {
  const Tensor& from = x.tensor;
  Tensor y = Tensor::empty(from.shape(), from.dtype(), from.layout());
  scale_shift(from, x.map->scale, x.map->shift, x.map->relu, y);
  return y;
}

ChannelSums gated_sums(const Tensor& dy,
                       const Tensor& x,
                       const std::vector<double>& center,
                       const ReluGate& gate) {
  const Tensor source = x.contiguous();
  const Tensor gradient = dy.to(source.layout()).contiguous();
  return sums_over_runs(source,
                        [&](auto zero, int64_t channel, int64_t offset, int64_t n, double* sums) {
                          using T = decltype(zero);
                          detail::run_gated_sums(gradient.data<T>() + offset,
                                                 source.data<T>() + offset,
                                                 n,
                                                 center[static_cast<size_t>(channel)],
                                                 coefficients(gate, channel),
                                                 sums);
                        });
}

ChannelSums open_sums(const Tensor& dy,
                      const Tensor& x,
                      const Tensor& y,
                      const std::vector<double>& center,
                      Tensor& g) {
  const Tensor source = x.contiguous();
  const Tensor gradient = dy.to(source.layout()).contiguous();
  const Tensor output = y.to(source.layout()).contiguous();
  return sums_over_runs(source,
                        [&](auto zero, int64_t channel, int64_t offset, int64_t n, double* sums) {
                          using T = decltype(zero);
                          detail::run_open_sums(gradient.data<T>() + offset,
                                                source.data<T>() + offset,
                                                output.data<T>() + offset,
                                                n,
                                                center[static_cast<size_t>(channel)],
                                                g.data<T>() + offset,
                                                sums);
                        });
}

void gated_combine(const Tensor& dy,
                   const Tensor& x,
                   const std::vector<double>& a,
                   const std::vector<double>& b,
                   const std::vector<double>& c,
                   const ReluGate& gate,
                   Tensor& dx) {
  const Tensor source = x.contiguous();
  const Tensor gradient = dy.to(source.layout()).contiguous();
  const Runs runs(source);
  dispatch_floating(x.dtype(), "batch norm", [&](auto zero) {
    using T = decltype(zero);
    runs.each([&](int64_t, int64_t channel, int64_t offset) {
      const auto k = static_cast<size_t>(channel);
      const double abc[3] = {a[k], b[k], c[k]};
      detail::run_gated_combine(gradient.data<T>() + offset,
                                source.data<T>() + offset,
                                runs.length,
                                abc,
                                coefficients(gate, channel),
                                dx.data<T>() + offset);
    });
  });
  zero_padding_lanes(dx);
}

}  // namespace espalier
