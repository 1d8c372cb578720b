// SPDX-License-Identifier: Apache-2.0
// PositionGate in evaluation, sample by sample in planes.
#include <cmath>
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

std::vector<float> PositionGate::least_partial_sums() const {
  std::vector<float> out;
  for (int64_t k = 0; k < options_.channels; ++k) {
    const double spread = std::sqrt(running_var.at({k}) + options_.eps);
    out.push_back(
        static_cast<float>(running_mean.at({k}) + threshold.value.value().at({k}) * spread));
  }
  return out;
}

std::shared_ptr<const PositionGatedPlanes> PositionGate::packed(const Conv2dShape& shape,
                                                                const Tensor& weight) {
  // Comparing costs far less than packing, and never misses a change.
  if (!packed_ || !same_geometry(packed_->shape, shape) || !same_values(packed_->source, weight)) {
    const Tensor source = weight.clone();
    packed_ = std::make_shared<const Packed>(
        Packed{source,
               shape,
               std::make_shared<const PositionGatedPlanes>(detail::PositionGatedLayer{
                   .shape = shape, .weight = source, .parts = options_.parts})});
  }
  return packed_->planes;
}

Variable PositionGate::skip(const Variable& x,
                            const Tensor& weight,
                            const Tensor& bias,
                            Conv2dShape shape) {
  const int64_t samples = shape.n;
  shape.n = 1;
  const Tensor images = x.value().to(Layout::Nchw).contiguous();
  Tensor y = Tensor::empty({samples, shape.k, shape.p, shape.q});
  const std::shared_ptr<const PositionGatedPlanes> planes = packed(shape, weight);
  const std::vector<float> least = least_partial_sums();
  const detail::ModuleTasks tasks(samples == 1);
  std::vector<int64_t> macs(static_cast<size_t>(samples));
  detail::for_samples(images, planes->scratch_floats(), [&](int64_t n, float* in, float* scratch) {
    macs[static_cast<size_t>(n)] =
        planes->run({.x = in,
                     .least = least.data(),
                     .shift = bias.defined() ? bias.data<float>() : nullptr,
                     .y = y.data<float>() + n * shape.k * shape.p * shape.q,
                     .scratch = scratch},
                    tasks);
  });
  count_macs(std::accumulate(macs.begin(), macs.end(), int64_t{0}));
  return Variable(y.to(x.layout()));
}

}  // namespace espalier::nn
