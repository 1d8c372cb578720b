// SPDX-License-Identifier: Apache-2.0
// Convolutions that decide for each sample what they compute, by the kernels that gates of modules
// use too. Saliencies, batch norm's factor, residual and limits are applied where sums are stored.
#include <atomic>

#include <espalier/nn/gates/kernels/channel_planes.h>
#include <espalier/nn/gates/kernels/position_planes.h>
#include <espalier/nn/plan/planes/product.h>

namespace espalier::nn::plan {
namespace {

using nn::detail::ChannelGatedPlanes;
using nn::detail::GatedSample;
using nn::detail::PositionGatedPlanes;

/// for_planes_tasks as the gated kernels call it.
auto tasks_of(const PlanesRun& run) {
  return
      [&run](int64_t tasks, int64_t work, auto body) { for_planes_tasks(run, tasks, work, body); };
}

class ChannelGatedProduct : public PlanesProduct {
 public:
  ChannelGatedProduct(const Graph& graph, const Step& step)
      : PlanesProduct(graph, step),
        planes_({.shape = shape_,
                 .weight = step.weight,
                 .bias = step.bias,
                 .gate = nn::detail::ChannelGateParameters{
                     .phi = step.gate.phi, .rho = step.gate.rho, .kept = step.gate.kept}}) {
    // Weights that no cache of a core holds, and inputs of which it holds many.
    constexpr int64_t kLargeWeight = int64_t{1} << 18;
    constexpr int64_t kSmallInput = int64_t{1} << 16;
    shares_weight_ = step.weight.numel() >= kLargeWeight && planes_.scratch_floats() <= kSmallInput;
  }

  int64_t run(const PlanesRun& run) const override {
    const GatedSample sample = sample_of(run);
    planes_.prepare(sample, tasks_of(run));
    planes_.compute(sample, tasks_of(run));
    return planes_.macs(sample);
  }

  /// Where the weight is large, a few output channels at a time for all samples: their weights are
  /// fetched from memory once.
  bool side_by_side() const override { return shares_weight_; }
  int64_t run_each(std::span<const PlanesRun> runs) const override {
    constexpr int64_t kChannels = 16;
    std::atomic<int64_t> macs{0};
    parallel_for(static_cast<int64_t>(runs.size()), 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const PlanesRun& run = runs[static_cast<size_t>(i)];
        planes_.prepare(sample_of(run), tasks_of(run));
        macs += planes_.macs(sample_of(run));
      }
    });
    const int64_t blocks = (shape_.k + kChannels - 1) / kChannels;
    parallel_for(blocks, 1, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        for (const PlanesRun& run : runs) {
          planes_.compute_some(sample_of(run), b * kChannels, (b + 1) * kChannels);
        }
      }
    });
    return macs;
  }

  int64_t scratch_floats() const override { return planes_.scratch_floats(); }
  int64_t macs() const override { return planes_.dense_macs(); }
  int64_t nbytes() const override { return planes_.nbytes(); }
  std::string_view format() const override { return "channels"; }

 private:
  GatedSample sample_of(const PlanesRun& run) const {
    return {.x = run.at(x_),
            .residual = residual(run),
            .y = run.at(y_),
            .limits = limits_,
            .scratch = run.scratch};
  }

  ChannelGatedPlanes planes_;
  bool shares_weight_;
};

class PositionGatedProduct : public PlanesProduct {
 public:
  PositionGatedProduct(const Graph& graph, const Step& step)
      : PlanesProduct(graph, step),
        least_(step.gate.least),
        scale_(step.gate.scale),
        planes_({.shape = shape_, .weight = step.weight, .parts = step.gate.parts}) {}

  int64_t run(const PlanesRun& run) const override {
    return planes_.run({.x = run.at(x_),
                        .least = least_.data<float>(),
                        .scale = scale_.data<float>(),
                        .shift = bias(),
                        .residual = residual(run),
                        .y = run.at(y_),
                        .limits = limits_,
                        .scratch = run.scratch},
                       tasks_of(run));
  }
  int64_t scratch_floats() const override { return planes_.scratch_floats(); }
  int64_t macs() const override { return planes_.dense_macs(); }
  int64_t nbytes() const override { return planes_.nbytes(); }
  std::string_view format() const override { return "positions"; }

 private:
  Tensor least_, scale_;
  PositionGatedPlanes planes_;
};

}  // namespace

std::unique_ptr<PlanesKernel> make_planes_gated_product(const Graph& graph, const Step& step) {
  if (step.gate.kind == GateKind::Channels) {
    return std::make_unique<ChannelGatedProduct>(graph, step);
  }
  return std::make_unique<PositionGatedProduct>(graph, step);
}

}  // namespace espalier::nn::plan
