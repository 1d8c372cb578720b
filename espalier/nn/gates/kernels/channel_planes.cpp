// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/kernels/channel_planes.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <span>

#include <espalier/nn/gates/kernels/plane_loops.h>

namespace espalier::nn::detail {
namespace {

using espalier::detail::PlanesChannels;
using espalier::detail::PlanesOperands;

// Input channels that a task measures.
constexpr int64_t kMeasuredChannels = 16;

}  // namespace

ChannelGatedPlanes::ChannelGatedPlanes(const ChannelGatedLayer& layer)
    : layer_(layer), planes_(layer.shape) {
  if (layer_.gate) {
    phi_ = layer_.gate->phi.permute({1, 0}).contiguous();
    layer_.gate->phi = {};
  }
  const Conv2dShape& s = layer_.shape;
  means_at_ = whole_lines(planes_.scratch_size());
  pi_at_ = means_at_ + whole_lines(s.c);
  in_at_ = pi_at_ + whole_lines(s.k);
  out_at_ = in_at_ + whole_lines(s.c);
  counts_at_ = out_at_ + whole_lines(s.k);
}

int64_t ChannelGatedPlanes::nbytes() const {
  return layer_.weight.nbytes() + (layer_.bias.defined() ? layer_.bias.nbytes() : 0) +
         (layer_.gate ? phi_.nbytes() + layer_.gate->rho.nbytes() : 0);
}

int64_t ChannelGatedPlanes::input_floats() const {
  return layer_.shape.c * layer_.shape.h * layer_.shape.w;
}
int64_t ChannelGatedPlanes::output_floats() const {
  return layer_.shape.k * layer_.shape.p * layer_.shape.q;
}
int64_t ChannelGatedPlanes::measure_tasks() const {
  return (layer_.shape.c + kMeasuredChannels - 1) / kMeasuredChannels;
}

int32_t* ChannelGatedPlanes::list(const GatedSample& sample, int64_t at) const {
  return reinterpret_cast<int32_t*>(sample.scratch + at);
}

void ChannelGatedPlanes::measure(const GatedSample& sample, int64_t task) const {
  const int64_t plane = layer_.shape.h * layer_.shape.w;
  const int64_t last = std::min(layer_.shape.c, (task + 1) * kMeasuredChannels);
  for (int64_t c = task * kMeasuredChannels; c < last; ++c) {
    sample.scratch[means_at_ + c] =
        sum_of_magnitudes(sample.x + c * plane, plane) / static_cast<float>(plane);
  }
}

/// pi by the layer's gate, and the order of the channels in the list of outputs.
void ChannelGatedPlanes::weigh(const GatedSample& sample) const {
  const int64_t k_count = layer_.shape.k;
  const float* means = sample.scratch + means_at_;
  float* pi = sample.scratch + pi_at_;
  int32_t* out = list(sample, out_at_);
  std::copy_n(layer_.gate->rho.data<float>(), k_count, pi);
  for (int64_t c = 0; c < layer_.shape.c; ++c) {
    if (means[c] == 0.0F) continue;
    add_scaled(phi_.data<float>() + c * k_count, means[c], k_count, pi);
  }
  for (int64_t k = 0; k < k_count; ++k) pi[k] = std::max(pi[k], 0.0F);
  std::iota(out, out + k_count, 0);
  const int64_t kept = layer_.gate->kept;
  std::nth_element(out, out + kept - 1, out + k_count, by_saliency(pi));
  for (const int32_t* lost = out + kept; lost != out + k_count; ++lost) pi[*lost] = 0.0F;
}

void ChannelGatedPlanes::decide(const GatedSample& sample) const {
  const int64_t c_count = layer_.shape.c;
  const int64_t k_count = layer_.shape.k;
  const float* means = sample.scratch + means_at_;
  float* pi = sample.scratch + pi_at_;
  int32_t* in = list(sample, in_at_);
  int32_t* out = list(sample, out_at_);
  int32_t* counts = list(sample, counts_at_);
  if (sample.open != nullptr) {
    std::copy_n(sample.open, k_count, pi);
  } else {
    weigh(sample);
  }
  counts[0] = 0;
  for (int64_t c = 0; c < c_count; ++c) {
    if (means[c] != 0.0F) in[counts[0]++] = static_cast<int32_t>(c);
  }
  counts[1] = 0;
  for (int64_t k = 0; k < k_count; ++k) {
    if (pi[k] != 0.0F) out[counts[1]++] = static_cast<int32_t>(k);
  }
}

PlanesChannels ChannelGatedPlanes::chosen(const GatedSample& sample) const {
  const int32_t* counts = list(sample, counts_at_);
  return {{list(sample, in_at_), static_cast<size_t>(counts[0])},
          {list(sample, out_at_), static_cast<size_t>(counts[1])}};
}

PlanesOperands ChannelGatedPlanes::operands_of(const GatedSample& sample) const {
  return {.x = sample.x,
          .weight = layer_.weight.data<float>(),
          .bias = layer_.bias.defined() ? layer_.bias.data<float>() : nullptr,
          .factor = sample.boosted ? sample.scratch + pi_at_ : nullptr,
          .residual = sample.residual,
          .y = sample.y,
          .limits = sample.limits};
}

void ChannelGatedPlanes::write_closed(const GatedSample& sample) const {
  const int64_t plane = layer_.shape.p * layer_.shape.q;
  const float* pi = sample.scratch + pi_at_;
  for (int64_t k = 0; k < layer_.shape.k; ++k) {
    if (pi[k] != 0.0F) continue;
    float* y = sample.y + k * plane;
    std::memset(y, 0, static_cast<size_t>(plane) * sizeof(float));
    const float* residual = sample.residual == nullptr ? nullptr : sample.residual + k * plane;
    finish_plane(y, plane, 1.0F, 0.0F, residual, sample.limits);
  }
}

void ChannelGatedPlanes::compute_some(const GatedSample& sample,
                                      int64_t first,
                                      int64_t last) const {
  PlanesChannels channels = chosen(sample);
  const auto begin = std::lower_bound(channels.out.begin(), channels.out.end(), first);
  const auto end = std::lower_bound(begin, channels.out.end(), last);
  channels.out = {begin, end};
  const PlanesOperands operands = operands_of(sample);
  for (int64_t task = 0; task < planes_.tasks(channels); ++task) {
    planes_.run(task, operands, channels, sample.scratch);
  }
}

int64_t ChannelGatedPlanes::products(const GatedSample& sample) const {
  const PlanesChannels channels = chosen(sample);
  const auto pairs = static_cast<int64_t>(channels.in.size() * channels.out.size());
  return pairs * layer_.shape.r * layer_.shape.s * layer_.shape.p * layer_.shape.q;
}

int64_t ChannelGatedPlanes::macs(const GatedSample& sample) const {
  return products(sample) + gate_macs();
}

}  // namespace espalier::nn::detail
