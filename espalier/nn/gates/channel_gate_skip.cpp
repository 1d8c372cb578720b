// SPDX-License-Identifier: Apache-2.0
// ChannelGate in evaluation, sample by sample in planes; the batch norm behind it finishes.
#include <numeric>

#include <espalier/core/mac_counter.h>
#include <espalier/nn/gates/channel_gate.h>
#include <espalier/nn/gates/kernels/channel_planes.h>
#include <espalier/nn/gates/kernels/plane_loops.h>

namespace espalier::nn {

Variable ChannelGate::skip(const Variable& x, const LayerProduct& layer, Conv2dShape shape) {
  const int64_t samples = shape.n;
  shape.n = 1;
  const auto rule = decision_->channel_rule();
  Tensor open = Tensor::empty({samples, shape.k});
  if (!rule) open.copy_(decide(x).value().to(Layout::Nchw));
  const detail::ChannelGatedPlanes planes(
      {.shape = shape,
       .weight = layer.weight.value.value(),
       .bias = layer.bias.defined() ? layer.bias.value.value() : Tensor(),
       .gate = rule});
  const Tensor images = x.value().to(Layout::Nchw).contiguous();
  Tensor y = Tensor::empty({samples, shape.k, shape.p, shape.q});
  const detail::ModuleTasks tasks(samples == 1);
  std::vector<int64_t> macs(static_cast<size_t>(samples));
  detail::for_samples(images, planes.scratch_floats(), [&](int64_t n, float* in, float* scratch) {
    float* decided = open.data<float>() + n * shape.k;
    const detail::GatedSample sample{.x = in,
                                     .open = rule ? nullptr : decided,
                                     .y = y.data<float>() + n * shape.k * shape.p * shape.q,
                                     .boosted = !has_norm(),
                                     .scratch = scratch};
    planes.prepare(sample, tasks);
    planes.compute(sample, tasks);
    std::copy_n(planes.saliencies(sample), shape.k, decided);
    macs[static_cast<size_t>(n)] = planes.macs(sample);
  });
  count_macs(std::accumulate(macs.begin(), macs.end(), int64_t{0}));
  open_ = Variable(open);
  return Variable(y.to(x.layout()));
}

Variable ChannelGate::finish(const NormCall& norm) {
  const Variable& y = norm.x;
  const Tensor open = take_decision(y).value();
  const ChannelAffine affine = norm.affine();
  Tensor out = y.value().to(Layout::Nchw);
  const Tensor added =
      norm.residual.defined() ? norm.residual.value().to(Layout::Nchw).contiguous() : Tensor();
  const int64_t channels = y.size(1);
  const int64_t plane = y.size(2) * y.size(3);
  espalier::detail::PlanesLimits limits;
  if (norm.relu) limits.low = 0.0F;
  const int64_t planes = y.size(0) * channels;
  detail::ModuleTasks(true)(planes, planes * plane, [&](int64_t i) {
    const float boost = open.data<float>()[i];
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
