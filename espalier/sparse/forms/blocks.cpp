// SPDX-License-Identifier: Apache-2.0
// Blocks of four output channels that share their input channel and tap: found in any mask,
// whatever made it, with explicit zeros where a weight is missing.
#include <algorithm>
#include <cmath>

#include <espalier/sparse/forms/form.h>
#include <espalier/sparse/forms/sample.h>
#include <espalier/sparse/kernels/block_stream.h>
#include <espalier/sparse/kernels/conv2d_block_micro.h>

namespace espalier::sparse::detail {
namespace {

// Kept weights of a block's positions from which the block kernel wins: its products with explicit
// zeros cost less than what it saves in loads (Zen 4; the ratio of the two kernels' shares of the
// FMA peak).
constexpr double kLeastFill = 0.65;

class BlockForward : public PreparedForward {
 public:
  BlockForward(ConvPlan plan, const Support& support, const Tensor& weight)
      : PreparedForward(std::move(plan)),
        stream_(block_stream(this->plan(), support)),
        values_(gather_values(values_of(weight, support), stream_->ranks)) {}

  int64_t nbytes() const override {
    const size_t indices = stream_->offsets.size() + stream_->bounds.size();
    return values_.nbytes() + static_cast<int64_t>(indices * sizeof(int32_t));
  }
  const KernelForm& form() const override { return blocks_form(); }

 private:
  void run_call(const TileJob& tile, const ConvPlan::Call& call) const override {
    const TapRows rows = tap_rows_of(plan().conv, call.place.row, call.place.exist.rows);
    kernel_.run({tile,
                 stream_->offsets.data(),
                 values_.data<float>(),
                 stream_->bounds_of(call.index) + rows.first,
                 stream_->parts,
                 rows.count,
                 stream_->rows,
                 plan().conv.out_channels});
  }

  std::shared_ptr<const BlockStream> stream_;
  Tensor values_;
  BlockKernel kernel_ = block_kernel();
};

bool applies(const Support& support) {
  return block_form(support)->fill >= kLeastFill;
}

std::string facts(const Support& support) {
  return cat("blocks of ", kBlockChannels, "x1 filled to ", two_digits(block_form(support)->fill));
}

double products(const Support& support) {
  return support.density() / block_form(support)->fill;
}

std::unique_ptr<const PreparedForward> prepare(const TapConvolution& conv,
                                               int64_t blocks,
                                               const Support& support,
                                               const Tensor& weight) {
  return std::make_unique<BlockForward>(
      ConvPlan::in_blocks(conv, blocks, products(support), block_kernel().vector), support, weight);
}

constexpr PlanesLayout kPlanes{kBlockChannels, false, block_planes_kernel, Coding::Never};

Tensor sample(const Shape& weight, double density, uint64_t seed) {
  return random_mask(weight, density, kBlockChannels, seed);
}

}  // namespace

const KernelForm& blocks_form() {
  // At 0.5 against direct dense 1.86 times as fast (Zen 4, AVX-512, planes of 2x2 to 32x32).
  static const KernelForm form = {
      .name = "blocks",
      .weights =
          "blocks of four output channels with one index (4x1, 8x1, 4x4, 2:4g4), found in "
          "the mask itself; a layer whose blocks are filled to 65 % counts as such",
      .applies = applies,
      .facts = facts,
      .products = products,
      .forward_limits = {.direct = 0.85, .small_tiles = 0.5, .large_tiles = 0.3},
      .backward_limits = {.direct = 0.7, .small_tiles = 0.5, .large_tiles = 0.3},
      .prepare = prepare,
      .backward = backward_in_blocks,
      .planes = &kPlanes,
      .sample = sample};
  return form;
}

}  // namespace espalier::sparse::detail
