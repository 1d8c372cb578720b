// SPDX-License-Identifier: Apache-2.0
// PositionGate in evaluation, sample by sample in planes.
#include <cstring>
#include <numeric>

#include <espalier/core/mac_counter.h>
#include <espalier/nn/gates/kernels/plane_loops.h>
#include <espalier/nn/gates/kernels/position_planes.h>
#include <espalier/nn/gates/position_gate.h>

namespace espalier::nn {
namespace {

using detail::PositionGatedPlanes;

bool same_values(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

bool same_geometry(const Conv2dShape& a, const Conv2dShape& b) {
  return a.h == b.h && a.w == b.w && a.options.stride == b.options.stride &&
         a.options.padding == b.options.padding && a.options.dilation == b.options.dilation;
}

}  // namespace

std::shared_ptr<const PositionGatedPlanes> PositionGate::packed(const Conv2dShape& shape,
                                                                const Tensor& weight) {
  // Comparing costs far less than packing, and never misses a change.
  if (!packed_ || !same_geometry(packed_->shape, shape) || !same_values(packed_->source, weight)) {
    const Tensor source = weight.clone();
    packed_ = std::make_shared<const Packed>(
        Packed{source,
               shape,
               std::make_shared<const PositionGatedPlanes>(
                   detail::PositionGatedLayer{.shape = shape, .weight = source, .parts = parts_})});
  }
  return packed_->planes;
}

Variable PositionGate::skip(const Variable& x, const LayerProduct& layer, Conv2dShape shape) {
  const int64_t samples = shape.n;
  shape.n = 1;
  const Tensor& weight = layer.weight.value.value();
  const Tensor bias = layer.bias.defined() ? layer.bias.value.value() : Tensor();
  const std::optional<std::vector<float>> least = decision_->least_partial_sums();
  Tensor y = Tensor::empty({samples, shape.k, shape.p, shape.q});
  Tensor open;
  if (!least) {
    const Variable partial = partial_sum(x, layer.weight, *layer.conv);
    open = decide(partial).value().to(Layout::Nchw).contiguous();
    y.copy_(partial.value().to(Layout::Nchw));
  }
  const Tensor images = x.value().to(Layout::Nchw).contiguous();
  const std::shared_ptr<const PositionGatedPlanes> planes = packed(shape, weight);
  const detail::ModuleTasks tasks(samples == 1);
  const int64_t size = shape.k * shape.p * shape.q;
  std::vector<int64_t> macs(static_cast<size_t>(samples));
  detail::for_samples(images, planes->scratch_floats(), [&](int64_t n, float* in, float* scratch) {
    macs[static_cast<size_t>(n)] =
        planes->run({.x = in,
                     .least = least ? least->data() : nullptr,
                     .open = open.defined() ? open.data<float>() + n * size : nullptr,
                     .shift = bias.defined() ? bias.data<float>() : nullptr,
                     .y = y.data<float>() + n * size,
                     .scratch = scratch},
                    tasks);
  });
  count_macs(std::accumulate(macs.begin(), macs.end(), int64_t{0}));
  return Variable(y.to(x.layout()));
}

}  // namespace espalier::nn
