// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/forms/prepared_forward.h>

#include <espalier/core/parallel.h>

namespace espalier::sparse::detail {
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

}  // namespace espalier::sparse::detail
