// SPDX-License-Identifier: Apache-2.0
/// A channel-gated convolution of one sample: decides (saliency.h has the formula) or is told, then
/// computes the chosen output channels out of the input channels that are not zero. Channels that
/// the layer before left out are zero everywhere, and so are those that its ReLU emptied. What a
/// ChannelGate in evaluation and a step of an inference plan share. Not a public interface.
#pragma once

#include <optional>

#include <espalier/core/kernels/conv2d/planes.h>
#include <espalier/core/tensor.h>
#include <espalier/nn/gates/kernels/channel_lanes.h>

namespace espalier::nn::detail {

/// A gated convolution's parameters, all plain float32.
struct ChannelGatedLayer {
  Conv2dShape shape;                          ///< of one sample, groups 1
  Tensor weight;                              ///< (K,C,R,S)
  Tensor bias;                                ///< (K), or undefined
  std::optional<ChannelGateParameters> gate;  ///< none: every sample is told what is open
};

/// One sample: y = pi (conv(x) + bias) + residual, limited; only `boosted`, else without pi.
struct GatedSample {
  const float* x;                   ///< (C,H,W), kPlanesSlack readable floats around it
  const float* open = nullptr;      ///< (K) what is decided; null: the layer's gate decides
  const float* residual = nullptr;  ///< (K,P,Q), or null
  float* y;                         ///< (K,P,Q)
  espalier::detail::PlanesLimits limits = {};
  bool boosted = true;
  float* scratch;  ///< scratch_floats(), 64-byte aligned; keeps the decision
};

/// Thread-safe, and allocates nothing after its construction. `each(tasks, work, body)` calls
/// body(task) for all tasks, in any order and on any threads; `work` is what they cost together, in
/// multiply-accumulates or moved floats.
class ChannelGatedPlanes {
 public:
  /// Keeps the tensors, phi in another order.
  explicit ChannelGatedPlanes(const ChannelGatedLayer& layer);

  int64_t scratch_floats() const { return counts_at_ + espalier::detail::kPlanesVector; }
  /// Decides, arranges the input, and writes the channels that are left out. First.
  template <class Each>
  void prepare(const GatedSample& sample, Each each) const {
    each(measure_tasks(), input_floats(), [&](int64_t task) { measure(sample, task); });
    decide(sample);
    const auto channels = chosen(sample);
    each(planes_.fill_tasks(channels), input_floats(), [&](int64_t task) {
      planes_.fill(task, sample.x, channels, sample.scratch);
    });
    each(1, output_floats(), [&](int64_t) { write_closed(sample); });
  }
  /// The chosen channels.
  template <class Each>
  void compute(const GatedSample& sample, Each each) const {
    const auto channels = chosen(sample);
    const auto operands = operands_of(sample);
    each(planes_.tasks(channels), products(sample), [&](int64_t task) {
      planes_.run(task, operands, channels, sample.scratch);
    });
  }
  /// The chosen channels among first .. last, in the calling thread.
  void compute_some(const GatedSample& sample, int64_t first, int64_t last) const;

  /// pi (K): saliencies of chosen channels, zeros elsewhere. After `prepare`.
  const float* saliencies(const GatedSample& sample) const { return sample.scratch + pi_at_; }
  /// Multiply-accumulates, with the predictor's. After `prepare`.
  int64_t macs(const GatedSample& sample) const;
  /// At most.
  int64_t dense_macs() const { return layer_.shape.macs() + gate_macs(); }
  int64_t nbytes() const;
  const Conv2dShape& shape() const { return layer_.shape; }

 private:
  int64_t gate_macs() const { return layer_.gate ? phi_.numel() : 0; }
  int64_t input_floats() const;
  int64_t output_floats() const;
  int64_t measure_tasks() const;
  void measure(const GatedSample& sample, int64_t task) const;
  void decide(const GatedSample& sample) const;
  void weigh(const GatedSample& sample) const;
  void write_closed(const GatedSample& sample) const;
  int64_t products(const GatedSample& sample) const;
  espalier::detail::PlanesChannels chosen(const GatedSample& sample) const;
  espalier::detail::PlanesOperands operands_of(const GatedSample& sample) const;
  int32_t* list(const GatedSample& sample, int64_t at) const;

  ChannelGatedLayer layer_;
  Tensor phi_;  // (C,K)
  espalier::detail::DensePlanes planes_;
  int64_t means_at_, pi_at_, in_at_, out_at_, counts_at_;  // in the scratch
};

}  // namespace espalier::nn::detail
