// SPDX-License-Identifier: Apache-2.0
/// Raw passes of batch normalization over x (N,C,..), float32 or float64, in either layout:
/// statistics, scale-and-shift (with ReLU), and the two passes of the backward. Nothing is recorded
/// here; see autograd/ops/batch_norm.cpp. Coefficients per channel are float64 arrays of length C.
///
/// Threads  work is cut by block of samples and channel; partial sums are combined in index order,
/// so bits don't depend on the thread count.
#pragma once

#include <vector>

#include <espalier/core/kernels/channel_map.h>
#include <espalier/core/tensor.h>

namespace espalier {

/// Mean and biased variance of each channel over all samples and positions. Each block's moments
/// are taken about its own mean and merged by the pairwise formula (Chan, Golub, LeVeque 1983), so
/// a mean far from zero costs no digits. Throws ShapeError for fewer than two dimensions.
struct ChannelMoments {
  std::vector<double> mean;
  std::vector<double> var;
};
ChannelMoments channel_moments(const Tensor& x);

/// y = scale * x + shift per channel, plus `residual` where that is defined (of x's shape), then
/// max(.., 0) when `relu`. y has x's shape, type and layout; it may be x itself.
void scale_shift(const Tensor& x,
                 const std::vector<double>& scale,
                 const std::vector<double>& shift,
                 bool relu,
                 Tensor& y,
                 const Tensor& residual = {});

/// The value of a tensor that is read through a map, in memory of its own.
Tensor through_map(const MappedTensor& x);

/// What the ReLU behind a scale_shift let through: positions with scale * x + shift > 0. Empty
/// vectors mean that there was no ReLU.
struct ReluGate {
  std::vector<double> scale;
  std::vector<double> shift;
};

/// Per channel the sums of g and of g * (x - center), where g is dy where the gate is open, else 0.
struct ChannelSums {
  std::vector<double> g;
  std::vector<double> g_x;
};
ChannelSums gated_sums(const Tensor& dy,
                       const Tensor& x,
                       const std::vector<double>& center,
                       const ReluGate& gate);

/// The same sums where g is dy at positions with y > 0 (y: the output of a ReLU), else 0; g is
/// written as well.
ChannelSums open_sums(const Tensor& dy,
                      const Tensor& x,
                      const Tensor& y,
                      const std::vector<double>& center,
                      Tensor& g);

/// dx = a * g + b * x + c per channel, g as in gated_sums; where b = 0 x has no part in it, be it
/// infinite. dx has x's shape, type and layout, and may be dy.
void gated_combine(const Tensor& dy,
                   const Tensor& x,
                   const std::vector<double>& a,
                   const std::vector<double>& b,
                   const std::vector<double>& c,
                   const ReluGate& gate,
                   Tensor& dx);

}  // namespace espalier
