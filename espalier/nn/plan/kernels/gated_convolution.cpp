// SPDX-License-Identifier: Apache-2.0
// Convolutions with a channel gate, sixteen samples in the lanes. Skipping is by the channel and
// for all lanes at once: what one of the samples chose is computed for all of them, and each
// multiplies by its own saliencies, which are zero for what it did not choose. Gates often agree: a
// channel that the layer before closed for all is not read, one that this layer closes for all is
// not computed.
#include <espalier/core/kernels/conv2d/strips.h>
#include <espalier/core/kernels/conv2d/winograd_tiles.h>
#include <espalier/nn/gates/kernels/channel_lanes.h>
#include <espalier/nn/plan/kernels/product.h>

namespace espalier::nn::plan {
namespace {

using espalier::detail::WinogradChannels;
using espalier::detail::WinogradCorrelation;

// Channels that a task measures.
constexpr int64_t kMeasured = 8;

/// Decides, and finishes: y = limited(pi (conv(x) + bias) + residual). Samples of `group` blocks
/// share their lists of channels.
class GatedConvolution : public Product {
 public:
  GatedConvolution(const Graph& graph, const Step& step, int64_t group)
      : Product(graph, step),
        group_(group),
        gate_{.phi = step.gate.phi, .rho = step.gate.rho, .kept = step.gate.kept} {}

  void run(const Run& run) const final {
    const int64_t parts = (shape_.c + kMeasured - 1) / kMeasured;
    for_tasks(run, run.blocks * parts, [&](int64_t task, float*) {
      measure(run, task / parts, task % parts * kMeasured);
    });
    for_tasks(run, run.blocks, [&](int64_t block, float*) {
      const int64_t samples = std::min(kLanes, run.samples - block * kLanes);
      nn::detail::decide_channels(gate_, means(run, block), samples, pi(run, block));
    });
    for_tasks(run, groups(run), [&](int64_t group, float*) {
      const int64_t first = first_block(group);
      const Lists to = lists(run, first);
      const int64_t samples = samples_of(run, group);
      to.counts[0] = static_cast<int32_t>(
          nn::detail::list_channels(means(run, first), samples, shape_.c, to.in));
      to.counts[1] = static_cast<int32_t>(
          nn::detail::list_channels(pi(run, first), samples, shape_.k, to.out));
    });
    compute(run);
  }

  int64_t macs() const final { return shape_.macs() + gate_macs(); }
  int64_t shared_floats(int64_t blocks) const final {
    return blocks * ((shape_.c + shape_.k) * kLanes + list_size());
  }

 protected:
  /// The chosen channels' sums, and what comes after them.
  virtual void compute(const Run& run) const = 0;

  int64_t groups(const Run& run) const { return (run.blocks + group_ - 1) / group_; }
  int64_t first_block(int64_t group) const { return group * group_; }
  int64_t blocks_of(const Run& run, int64_t group) const {
    return std::min(group_, run.blocks - first_block(group));
  }
  int64_t samples_of(const Run& run, int64_t group) const {
    return std::min(group_ * kLanes, run.samples - first_block(group) * kLanes);
  }
  /// What samples of the group chose.
  WinogradChannels channels(const Run& run, int64_t group) const {
    const Lists from = lists(run, first_block(group));
    return {{from.in, static_cast<size_t>(from.counts[0])},
            {from.out, static_cast<size_t>(from.counts[1])}};
  }
  /// Some positions of one block, from (row, col) on; they may reach over the ends of rows.
  struct Place {
    int64_t block, row, col, positions;
  };
  /// Finishes all channels there, of which those in `computed` have sums.
  void finish_all(const Run& run, const Place& at, std::span<const int32_t> computed) const {
    const float* added = residual(run);
    auto next = computed.begin();
    for (int64_t k = 0; k < shape_.k; ++k) {
      const int64_t offset =
          ((at.block * shape_.k + k) * shape_.p * shape_.q + at.row * shape_.q + at.col) * kLanes;
      const float* from = added == nullptr ? nullptr : added + offset;
      const bool has_sums = next != computed.end() && *next == k;
      if (has_sums) ++next;
      const float* factor = has_sums ? pi(run, at.block) + k * kLanes : nullptr;
      finish_scaled(epilogue_.limits, factor, from, at.positions, run.write(y_) + offset);
    }
  }
  int64_t gate_macs() const { return gate_.phi.numel(); }
  int64_t gate_bytes() const { return gate_.phi.nbytes() + gate_.rho.nbytes() + bias_bytes(); }

 private:
  struct Lists {
    int32_t *counts, *in, *out;
  };

  // Shared: means (C,16) of all blocks, pi (K,16) of all blocks, and lists, of which a group uses
  // those of its first block.
  int64_t list_size() const { return 2 + shape_.c + shape_.k; }
  float* means(const Run& run, int64_t block) const {
    return run.shared + block * shape_.c * kLanes;
  }
  float* pi(const Run& run, int64_t block) const {
    return means(run, run.blocks) + block * shape_.k * kLanes;
  }
  Lists lists(const Run& run, int64_t block) const {
    auto* counts = reinterpret_cast<int32_t*>(pi(run, run.blocks)) + block * list_size();
    return {counts, counts + 2, counts + 2 + shape_.c};
  }

  void measure(const Run& run, int64_t block, int64_t first) const {
    const int64_t plane = shape_.h * shape_.w;
    for (int64_t c = first; c < std::min(shape_.c, first + kMeasured); ++c) {
      nn::detail::magnitude_means(run.read(x_) + (block * shape_.c + c) * plane * kLanes,
                                  plane,
                                  means(run, block) + c * kLanes);
    }
  }

  int64_t group_;
  nn::detail::ChannelGateParameters gate_;
};

/// 3x3 of stride 1: computes what is in the lists.
class GatedWinograd : public GatedConvolution {
 public:
  GatedWinograd(const Graph& graph,
                const Step& step,
                int64_t group,
                espalier::detail::WinogradTile tile)
      : GatedConvolution(graph, step, group),
        conv_(WinogradCorrelation::forward(shape_, tile, group)),
        filters_(conv_.transform_filters_plainly(step.weight.data<float>(),
                                                 espalier::detail::forward_strides(shape_))) {}

  int64_t executed(const Run& run) const override {
    int64_t sum = run.samples * gate_macs();
    for (int64_t g = 0; g < groups(run); ++g) {
      const WinogradChannels some = channels(run, g);
      const auto pairs = static_cast<int64_t>(some.in.size() * some.out.size());
      sum += samples_of(run, g) * pairs * (shape_.macs() / (shape_.c * shape_.k));
    }
    return sum;
  }
  int64_t scratch_floats() const override { return conv_.scratch_size(); }
  int64_t nbytes() const override { return filters_.nbytes() + gate_bytes(); }
  std::string_view format() const override { return "gated-winograd"; }

 private:
  void compute(const Run& run) const override {
    const int64_t most = conv_.tasks(blocks_of(run, 0));
    for_tasks(run, groups(run) * most, [&](int64_t index, float* scratch) {
      const int64_t group = index / most;
      const int64_t task = index % most;
      const int64_t blocks = blocks_of(run, group);
      if (task >= conv_.tasks(blocks)) return;  // the last group has fewer
      const int64_t first = first_block(group);
      const WinogradChannels some = channels(run, group);
      const float* x = run.read(x_) + first * shape_.c * shape_.h * shape_.w * kLanes;
      float* y = run.write(y_) + first * shape_.k * shape_.p * shape_.q * kLanes;
      conv_.run_some(task, blocks, some, x, filters_.data<float>(), bias(), y, scratch);
      WinogradCorrelation::Room room;
      for (const espalier::detail::Tiling::Run& at : conv_.runs(task, blocks, room)) {
        const int64_t width = std::min(shape_.q - at.col, at.tiles * conv_.tile_size());
        for (int64_t r = 0; r < at.height; ++r) {
          finish_all(run, {first + at.block, at.row + r, at.col, width}, some.out);
        }
      }
    });
  }

  WinogradCorrelation conv_;
  Tensor filters_;
};

/// Any other shape: computes everything, and keeps what was chosen.
class GatedStrips : public GatedConvolution {
 public:
  GatedStrips(const Graph& graph, const Step& step, int64_t blocks)
      : GatedConvolution(graph, step, 1),
        strips_(espalier::detail::forward_taps(shape_), blocks),
        packed_(
            strips_.pack(step.weight.data<float>(), espalier::detail::forward_strides(shape_))) {}

  int64_t scratch_floats() const override { return strips_.scratch_size(); }
  int64_t nbytes() const override { return packed_.nbytes() + gate_bytes(); }
  std::string_view format() const override { return "gated-dense"; }

 private:
  void compute(const Run& run) const override {
    for_tasks(run, strips_.tasks(run.blocks), [&](int64_t task, float* scratch) {
      strips_.run(task, run.read(x_), packed_.data<float>(), bias(), run.write(y_), scratch);
      const auto rows = strips_.rows(task);
      finish_all(run,
                 {rows.block, rows.first, 0, (rows.last - rows.first) * shape_.q},
                 channels(run, rows.block).out);
    });
  }

  espalier::detail::ConvStrips strips_;
  Tensor packed_;
};

}  // namespace

std::unique_ptr<Kernel> make_gated_convolution(const Graph& graph,
                                               const Step& step,
                                               int64_t blocks) {
  if (step.format != Format::Winograd) return std::make_unique<GatedStrips>(graph, step, blocks);
  // Weights serve four tiles that stand side by side: small planes have them in several blocks.
  const Conv2dShape shape = product_shape(graph, step, 1);
  const int size = std::max(2, winograd_tile(shape, Conv2dPass::Forward));
  const int64_t tiles = ((shape.p + size - 1) / size) * ((shape.q + size - 1) / size);
  constexpr int64_t kSideBySide = 4;
  return std::make_unique<GatedWinograd>(graph,
                                         step,
                                         std::min(blocks, (kSideBySide + tiles - 1) / tiles),
                                         espalier::detail::WinogradTile{size});
}

}  // namespace espalier::nn::plan
