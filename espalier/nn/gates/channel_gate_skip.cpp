// SPDX-License-Identifier: Apache-2.0
// ChannelGate in evaluation, sample by sample in planes; the batch norm behind it finishes.
#include <cstring>
#include <numeric>

#include <espalier/core/mac_counter.h>
#include <espalier/nn/gates/channel_gate.h>
#include <espalier/nn/gates/kernels/channel_planes.h>
#include <espalier/nn/gates/kernels/plane_loops.h>

namespace espalier::nn {

Variable ChannelGate::skip(const Variable& x,
                           const Tensor& filters,
                           const Tensor& offsets,
                           Conv2dShape shape) {
  const int64_t samples = shape.n;
  shape.n = 1;
  const detail::ChannelGatedPlanes planes({.shape = shape,
                                           .weight = filters,
                                           .bias = offsets,
                                           .phi = weight.value.value(),
                                           .rho = bias.value.value(),
                                           .kept = kept()});
  const Tensor images = x.value().to(Layout::Nchw).contiguous();
  Tensor y = Tensor::empty({samples, shape.k, shape.p, shape.q});
  Tensor pi = Tensor::empty({samples, shape.k});
  const detail::ModuleTasks tasks(samples == 1);
  std::vector<int64_t> macs(static_cast<size_t>(samples));
  detail::for_samples(images, planes.scratch_floats(), [&](int64_t n, float* in, float* scratch) {
    const detail::GatedSample sample{.x = in,
                                     .y = y.data<float>() + n * shape.k * shape.p * shape.q,
                                     .boosted = false,
                                     .scratch = scratch};
    planes.prepare(sample, tasks);
    planes.compute(sample, tasks);
    std::copy_n(planes.saliencies(sample), shape.k, pi.data<float>() + n * shape.k);
    macs[static_cast<size_t>(n)] = planes.macs(sample);
  });
  count_macs(std::accumulate(macs.begin(), macs.end(), int64_t{0}));
  pi_ = Variable(pi);
  return Variable(y.to(x.layout()));
}

Variable ChannelGate::finish(const Variable& y,
                             const Affine& affine,
                             const Variable& residual,
                             bool relu) {
  const Tensor pi = take_decision(y).value();
  skipped_ = false;
  Tensor out = y.value().to(Layout::Nchw);
  const Tensor added =
      residual.defined() ? residual.value().to(Layout::Nchw).contiguous() : Tensor();
  const int64_t channels = y.size(1);
  const int64_t plane = y.size(2) * y.size(3);
  espalier::detail::PlanesLimits limits;
  if (relu) limits.low = 0.0F;
  const int64_t planes = y.size(0) * channels;
  detail::ModuleTasks(true)(planes, planes * plane, [&](int64_t i) {
    const float boost = pi.data<float>()[i];
    const auto c = static_cast<size_t>(i % channels);
    // A channel that was left out is zero: finished, it stays zero.
    detail::finish_plane(out.data<float>() + i * plane,
                         plane,
                         boost * affine.scale[c],
                         boost * affine.shift[c],
                         added.defined() ? added.data<float>() + i * plane : nullptr,
                         limits);
  });
  return Variable(out.to(y.layout()));
}

}  // namespace espalier::nn
