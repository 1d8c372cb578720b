// SPDX-License-Identifier: Apache-2.0
// Unstructured sparse convolution and linear layer: plan, stream and values are made once; a run
// only walks over tasks and tiles.
#include <espalier/core/kernels/tap_convolution.h>
#include <espalier/nn/plan/kernels/product.h>
#include <espalier/nn/plan/weights.h>
#include <espalier/sparse/kept_values.h>
#include <espalier/sparse/kernels/conv2d_plan.h>

namespace espalier::nn::plan {
namespace {

using sparse::detail::ConvPlan;
using sparse::detail::EntryStream;
using sparse::detail::ForwardJob;

class SparseProduct : public Product {
 public:
  SparseProduct(const Graph& graph, const Step& step, int64_t blocks) : Product(graph, step) {
    const sparse::Pattern pattern = nonzero_pattern(step.weight);
    nnz_ = pattern.nnz();
    const ConvPlan largest(espalier::detail::forward_taps(shape_), blocks, pattern.density());
    stream_ = sparse::detail::entry_stream(largest, pattern, false);
    values_ = sparse::detail::in_order(stream_->ranks, sparse::kept_values(step.weight, pattern));
    // Fewer blocks have fewer tasks, cut in the same way: the stream fits all of them.
    for (int64_t b = 1; b <= blocks; ++b) {
      ConvPlan& plan = plans_.emplace_back(largest);
      plan.blocks = b;
      plan.image_groups = (b + plan.tile.images - 1) / plan.tile.images;
    }
  }

  void run(const Run& run) const override {
    const ConvPlan& plan = plans_[static_cast<size_t>(run.blocks - 1)];
    const float* x = run.read(x_);
    float* y = run.write(y_);
    for_tasks(run, plan.tasks(), [&](int64_t task, float* scratch) {
      ForwardJob job;
      job.entries = {
          stream_->offsets.data(), values_.data<float>(), nullptr, plan.conv.out_channels};
      job.shape = plan.shape;
      job.in_strides = plan.in_strides();
      job.out_strides = plan.out_strides();
      job.out_channel = plan.out_channel_stride();
      job.start = bias();
      plan.run_task(x, task, stream_->channel_blocks, scratch, [&](const ConvPlan::Call& call) {
        job.exist = call.place.exist;
        job.in = call.in;
        job.out = y + call.place.out;
        job.entries.bounds = stream_->bounds_of(0, call.index);
        job.accumulate = call.index > 0;
        job.ahead = call.ahead;
        kernels_.forward(job);
      });
      const int64_t first = task % plan.strips * plan.strip;
      const int64_t last = std::min(plan.conv.grid_h, first + plan.strip);
      const int64_t image = task / plan.strips * plan.tile.images;
      for (int64_t b = image; b < std::min(run.blocks, image + plan.tile.images); ++b) {
        finish_rows(run, b, first, last);
      }
    });
  }

  int64_t scratch_floats() const override { return plans_.back().scratch_size(); }
  int64_t nbytes() const override {
    return values_.nbytes() + bias_bytes() +
           static_cast<int64_t>((stream_->offsets.size() + stream_->bounds.size()) *
                                sizeof(int32_t));
  }
  int64_t macs() const override { return shape_.p * shape_.q * nnz_; }
  std::string_view format() const override { return "sparse"; }

 private:
  int64_t nnz_ = 0;
  std::shared_ptr<const EntryStream> stream_;
  Tensor values_;
  std::vector<ConvPlan> plans_;  // by number of blocks
  sparse::detail::SparseConvKernels kernels_ = sparse::detail::sparse_conv_kernels();
};

}  // namespace

std::unique_ptr<Kernel> make_sparse_product(const Graph& graph, const Step& step, int64_t blocks) {
  return std::make_unique<SparseProduct>(graph, step, blocks);
}

}  // namespace espalier::nn::plan
