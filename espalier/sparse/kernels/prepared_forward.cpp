// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/prepared_forward.h>

#include <espalier/core/parallel.h>
#include <espalier/sparse/kernels/block_forward.h>
#include <espalier/sparse/kernels/block_stream.h>
#include <espalier/sparse/kernels/conv2d_micro.h>
#include <espalier/sparse/kernels/mixed_forward.h>
#include <espalier/sparse/kernels/pair_forward.h>

namespace espalier::sparse::detail {
namespace {

/// Weights one by one.
class EntryForward : public PreparedForward {
 public:
  EntryForward(ConvPlan plan, const Support& support, const Tensor& weight, bool transposed)
      : PreparedForward(std::move(plan)),
        stream_(entry_stream(this->plan(), support, transposed)),
        values_(in_order(stream_->ranks, values_of(weight, support))) {}

  int64_t nbytes() const override {
    const size_t indices = stream_->offsets.size() + stream_->bounds.size();
    return values_.nbytes() + static_cast<int64_t>(indices * sizeof(int32_t));
  }
  std::string_view form() const override { return "sparse"; }

 private:
  void run_call(const TileJob& tile, const ConvPlan::Call& call) const override {
    kernels_.forward({tile,
                      {stream_->offsets.data(),
                       values_.data<float>(),
                       stream_->bounds_of(0, call.index),
                       plan().conv.out_channels}});
  }

  std::shared_ptr<const EntryStream> stream_;
  Tensor values_;
  SparseConvKernels kernels_ = sparse_conv_kernels();
};

}  // namespace

void PreparedForward::run_task(const ConvPlan& plan,
                               int64_t task,
                               const ForwardOperands& operands,
                               float* scratch) const {
  const int64_t channel_blocks = plan.channel_blocks();
  const bool stream = !operands.read_soon && plan.streams_output();
  TileJob tile;
  tile.shape = plan.shape;
  tile.in_strides = plan.in_strides();
  tile.out_strides = plan.out_strides();
  tile.out_channel = plan.out_channel_stride();
  tile.start = operands.bias;
  plan.run_task(operands.in, task, channel_blocks, scratch, [&](const ConvPlan::Call& call) {
    tile.exist = call.place.exist;
    tile.in = call.in;
    tile.out = operands.out + call.place.out;
    tile.accumulate = call.index > 0;
    tile.stream = stream && call.index + 1 == channel_blocks;
    tile.ahead = call.ahead;
    run_call(tile, call);
  });
}

void PreparedForward::run(const ForwardOperands& operands) const {
  parallel_for(plan_.tasks(), 1, [&](int64_t begin, int64_t end) {
    Tensor scratch = Tensor::empty({plan_.scratch_size()});
    for (int64_t task = begin; task < end; ++task) {
      run_task(plan_, task, operands, scratch.data<float>());
    }
  });
}

std::unique_ptr<const PreparedForward> prepare_forward(const TapConvolution& conv,
                                                       int64_t blocks,
                                                       const Support& support,
                                                       const Tensor& weight,
                                                       bool transposed) {
  if (!transposed && runs_in_blocks(support)) {
    return prepare_in_blocks(conv, blocks, support, weight);
  }
  if (!transposed && runs_mixed(support)) {
    return prepare_mixed(conv, blocks, support, weight);
  }
  if (!transposed && runs_in_pairs(support)) {
    return prepare_in_pairs(conv, blocks, support, weight);
  }
  return std::make_unique<EntryForward>(
      ConvPlan(conv, blocks, support.density()), support, weight, transposed);
}

}  // namespace espalier::sparse::detail
