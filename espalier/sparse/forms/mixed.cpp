// SPDX-License-Identifier: Apache-2.0
// Supports of which some rows of four output channels are filled blocks and others not: each row in
// its form, tile by tile from one padded copy of the input.
#include <algorithm>
#include <vector>

#include <espalier/sparse/forms/form.h>
#include <espalier/sparse/forms/sample.h>
#include <espalier/sparse/kernels/block_stream.h>
#include <espalier/sparse/kernels/conv2d_block_micro.h>
#include <espalier/sparse/kernels/conv2d_micro.h>

namespace espalier::sparse::detail {
namespace {

// Kept weights in filled rows, of all, that may pay for a second kernel on every tile; how full a
// row must be for that, and the density below which even whole blocks in half of the rows did not
// pay (Zen 3, AVX2: 1.06 times as fast at densities 0.2 and 0.1, 0.94 at 0.05, geometric means).
constexpr double kLeastPromoted = 0.1;
constexpr double kLeastRowFill = 0.9;
constexpr double kLeastDensity = 0.1;

/// Which rows of four output channels pay as blocks.
struct FilledRows {
  std::vector<uint8_t> filled;  ///< by row
  double share = 0.0;           ///< of all kept weights
};

FilledRows find_filled(const Support& support) {
  const CsrIndices csr = csr_indices(support);
  const CsrIndices blocks = blocked(csr, kChannelBlock).indices.blocks;
  FilledRows rows;
  int64_t in_blocks = 0;
  for (int64_t row = 0; row < blocks.rows; ++row) {
    const int64_t first = row * kBlockChannels;
    const int64_t last = std::min<int64_t>(csr.rows, first + kBlockChannels);
    const int64_t kept =
        csr.row_offsets[static_cast<size_t>(last)] - csr.row_offsets[static_cast<size_t>(first)];
    const int64_t positions = std::ssize(blocks.row(row)) * (last - first);
    rows.filled.push_back(static_cast<double>(kept) >=
                          kLeastRowFill * static_cast<double>(positions));
    if (rows.filled.back() != 0) in_blocks += kept;
  }
  if (support.nnz() > 0) {
    rows.share = static_cast<double>(in_blocks) / static_cast<double>(support.nnz());
  }
  return rows;
}

std::shared_ptr<const FilledRows> filled_rows(const Support& support) {
  return support.derived<FilledRows>({}, [&] { return find_filled(support); });
}

/// A support in two, each of the whole shape, and where their kept weights are among the support's.
struct MixedRows {
  Support blocks;  ///< rows of four output channels that pay as blocks
  Support single;  ///< all others
  std::vector<int32_t> block_ranks, single_ranks;
};

MixedRows split(const Support& support, const FilledRows& rows) {
  const int64_t channels = support.shape()[0];
  Tensor blocks = support.mask().clone();
  Tensor single = support.mask().clone();
  for (size_t r = 0; r < rows.filled.size(); ++r) {
    const auto first = static_cast<int64_t>(r) * kBlockChannels;
    const int64_t last = std::min<int64_t>(channels, first + kBlockChannels);
    (rows.filled[r] != 0 ? single : blocks).slice(0, first, last).fill_(0.0);
  }
  MixedRows mixed{Support(blocks), Support(single), {}, {}};
  const int64_t filter = channels == 0 ? 0 : support.numel() / channels;
  for (size_t rank = 0; rank < support.kept().size(); ++rank) {
    const auto row = static_cast<size_t>(support.kept()[rank] / filter / kBlockChannels);
    (rows.filled[row] != 0 ? mixed.block_ranks : mixed.single_ranks)
        .push_back(static_cast<int32_t>(rank));
  }
  return mixed;
}

class MixedForward : public PreparedForward {
 public:
  MixedForward(ConvPlan plan, const MixedRows& rows, const Tensor& kept)
      : PreparedForward(std::move(plan)),
        entries_(entry_stream(this->plan(), rows.single, false)),
        blocks_(block_stream(this->plan(), rows.blocks)),
        entry_values_(gather_values(gather_values(kept, rows.single_ranks), entries_->ranks)),
        block_values_(gather_values(gather_values(kept, rows.block_ranks), blocks_->ranks)) {}

  int64_t nbytes() const override {
    const size_t indices = entries_->offsets.size() + entries_->bounds.size() +
                           blocks_->offsets.size() + blocks_->bounds.size();
    return entry_values_.nbytes() + block_values_.nbytes() +
           static_cast<int64_t>(indices * sizeof(int32_t));
  }
  const KernelForm& form() const override { return mixed_form(); }

 private:
  // The first kernel writes all channels, those without single weights too; the second adds.
  void run_call(const TileJob& tile, const ConvPlan::Call& call) const override {
    const int64_t channels = plan().conv.out_channels;
    TileJob own = tile;
    own.stream = false;
    kernels_.forward({own,
                      {entries_->offsets.data(),
                       entry_values_.data<float>(),
                       entries_->bounds_of(0, call.index),
                       channels}});
    own.accumulate = true;
    own.ahead = {};
    const TapRows rows = tap_rows_of(plan().conv, call.place.row, call.place.exist.rows);
    block_kernel_.run({own,
                       blocks_->offsets.data(),
                       block_values_.data<float>(),
                       blocks_->bounds_of(call.index) + rows.first,
                       blocks_->parts,
                       rows.count,
                       blocks_->rows,
                       channels});
  }

  std::shared_ptr<const EntryStream> entries_;
  std::shared_ptr<const BlockStream> blocks_;
  Tensor entry_values_, block_values_;
  SparseConvKernels kernels_ = sparse_conv_kernels();
  BlockKernel block_kernel_ = block_kernel();
};

/// Made once and kept with the support.
std::shared_ptr<const MixedRows> mixed_rows(const Support& support) {
  // Outside of the call below, in which a support is locked.
  const auto rows = filled_rows(support);
  return support.derived<MixedRows>({}, [&] { return split(support, *rows); });
}

bool applies(const Support& support) {
  return support.density() >= kLeastDensity && filled_rows(support)->share >= kLeastPromoted;
}

std::string facts(const Support& support) {
  return cat("rows of ",
             kBlockChannels,
             " channels, those with ",
             two_digits(filled_rows(support)->share),
             " of the weights as filled blocks");
}

std::unique_ptr<const PreparedForward> prepare(const TapConvolution& conv,
                                               int64_t blocks,
                                               const Support& support,
                                               const Tensor& weight) {
  return std::make_unique<MixedForward>(
      ConvPlan(conv, blocks, support.density()), *mixed_rows(support), values_of(weight, support));
}

/// The first half of the rows of four output channels in blocks, the others weight by weight.
Tensor sample(const Shape& weight, double density, uint64_t seed) {
  Tensor mask = random_mask(weight, density, 1, seed);
  const int64_t half = weight[0] / (2 * kBlockChannels) * kBlockChannels;
  mask.slice(0, 0, half)
      .copy_(random_mask(weight, density, kBlockChannels, seed).slice(0, 0, half));
  return mask;
}

}  // namespace

const KernelForm& mixed_form() {
  static const KernelForm form = {
      .name = "mixed",
      .weights =
          "some rows of four output channels filled to 90 % with a tenth of the weights or "
          "more, others not: each row in its form, from one copy of the input",
      .applies = applies,
      .facts = facts,
      .prepare = prepare,
      .sample = sample};
  return form;
}

}  // namespace espalier::sparse::detail
