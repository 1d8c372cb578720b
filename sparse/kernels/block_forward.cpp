// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/block_forward.h>

#include <espalier/core/parallel.h>
#include <espalier/sparse/kernels/block_stream.h>
#include <espalier/sparse/kernels/conv2d_block_micro.h>
#include <espalier/sparse/kernels/conv2d_plan.h>

namespace espalier::sparse::detail {

void run_in_blocks(const TapConvolution& conv,
                   const Pattern& pattern,
                   const Tensor& weight,
                   const float* in,
                   const float* bias,
                   float* out,
                   int64_t blocks) {
  const ConvPlan plan(conv, blocks);
  const auto stream = block_stream(plan, pattern);
  const Tensor values = in_order(stream->ranks, values_of(weight, pattern));
  const BlockFn kernel = block_kernel();
  parallel_for(plan.tasks(), 1, [&](int64_t begin, int64_t end) {
    Tensor scratch = Tensor::empty({plan.scratch_size()});
    BlockJob job;
    job.offsets = stream->offsets.data();
    job.values = values.data<float>();
    job.bounds_step = stream->parts;
    job.rows = stream->rows();
    job.channels = conv.out_channels;
    job.shape = plan.shape;
    job.in_strides = plan.in_strides();
    job.out_strides = plan.out_strides();
    job.out_channel = plan.out_channel_stride();
    job.start = bias;
    job.stream = plan.streams_output();
    const auto run_call = [&](const ConvPlan::Call& call) {
      job.exist = call.place.exist;
      job.in = call.in;
      job.out = out + call.place.out;
      job.ahead = call.ahead;
      const TapRows rows = tap_rows_of(conv, call.place.row, call.place.exist.rows);
      job.bounds = stream->bounds.data() + rows.first;
      job.parts = rows.count;
      kernel(job);
    };
    for (int64_t task = begin; task < end; ++task) {
      plan.run_task(in, task, 1, scratch.data<float>(), run_call);
    }
  });
}

}  // namespace espalier::sparse::detail
