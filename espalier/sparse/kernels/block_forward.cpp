// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/block_forward.h>

#include <espalier/sparse/kernels/block_stream.h>
#include <espalier/sparse/kernels/conv2d_block_micro.h>

namespace espalier::sparse::detail {
namespace {

class BlockForward : public PreparedForward {
 public:
  BlockForward(ConvPlan plan, const Support& support, const Tensor& weight)
      : PreparedForward(std::move(plan)),
        stream_(block_stream(this->plan(), support)),
        values_(in_order(stream_->ranks, values_of(weight, support))) {}

  int64_t nbytes() const override {
    const size_t indices = stream_->offsets.size() + stream_->bounds.size();
    return values_.nbytes() + static_cast<int64_t>(indices * sizeof(int32_t));
  }
  std::string_view form() const override { return "blocks"; }

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

}  // namespace

std::unique_ptr<const PreparedForward> prepare_in_blocks(const TapConvolution& conv,
                                                         int64_t blocks,
                                                         const Support& support,
                                                         const Tensor& weight) {
  const double density = support.density() / block_form(support)->fill;
  return std::make_unique<BlockForward>(
      ConvPlan::in_blocks(conv, blocks, density, block_kernel().vector), support, weight);
}

}  // namespace espalier::sparse::detail
