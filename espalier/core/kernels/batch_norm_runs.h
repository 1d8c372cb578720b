// SPDX-License-Identifier: Apache-2.0
/// Vector loops of batch normalization over one contiguous run of a channel. Not a public
/// interface: batch_norm.cpp cuts tensors into runs, batch_norm_runs.cpp has a version per
/// instruction set.
#pragma once

#include <cstdint>

#include <espalier/core/kernels/channel_map.h>

namespace espalier::detail {

/// Sum, and sum of squares about the mean, of the valid elements of a run.
struct RunMoments {
  double count = 0.0;
  double mean = 0.0;
  double m2 = 0.0;
};

/// Per-channel coefficients as the loops need them.
struct GateCoefficients {
  bool relu = false;
  double scale = 1.0;
  double shift = 0.0;
};

/// How channel `c` is read through a map.
inline GateCoefficients coefficients_of(const ChannelMap& map, int64_t c) {
  const auto at = static_cast<size_t>(c);
  return {.relu = map.relu, .scale = map.scale[at], .shift = map.shift[at]};
}

/// Moments of x[0..n). Elements i with i % 16 >= valid_lanes are padding and don't count.
RunMoments run_moments(const float* x, int64_t n, int64_t valid_lanes);
RunMoments run_moments(const double* x, int64_t n, int64_t valid_lanes);

/// y = scale * x + shift (+ residual, unless null), then max(.., 0) when `relu`.
void run_scale_shift(
    const float* x, const float* residual, int64_t n, const GateCoefficients& k, float* y);
void run_scale_shift(
    const double* x, const double* residual, int64_t n, const GateCoefficients& k, double* y);

/// sums[0] = sum of g, sums[1] = sum of g * (x - center); g = dy where the gate is open.
void run_gated_sums(const float* dy,
                    const float* x,
                    int64_t n,
                    double center,
                    const GateCoefficients& gate,
                    double sums[2]);
void run_gated_sums(const double* dy,
                    const double* x,
                    int64_t n,
                    double center,
                    const GateCoefficients& gate,
                    double sums[2]);

/// The same sums with g = dy where y > 0, which is also written to `g`.
void run_open_sums(const float* dy,
                   const float* x,
                   const float* y,
                   int64_t n,
                   double center,
                   float* g,
                   double sums[2]);
void run_open_sums(const double* dy,
                   const double* x,
                   const double* y,
                   int64_t n,
                   double center,
                   double* g,
                   double sums[2]);

/// dx = abc[0] * g + abc[1] * x + abc[2]; without x where abc[1] = 0.
void run_gated_combine(const float* dy,
                       const float* x,
                       int64_t n,
                       const double abc[3],
                       const GateCoefficients& gate,
                       float* dx);
void run_gated_combine(const double* dy,
                       const double* x,
                       int64_t n,
                       const double abc[3],
                       const GateCoefficients& gate,
                       double* dx);

}  // namespace espalier::detail
