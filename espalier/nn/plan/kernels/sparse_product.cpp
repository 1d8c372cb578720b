// SPDX-License-Identifier: Apache-2.0
// Sparse convolution and linear layer, in whichever form runs its support fastest: plan, indices
// and values are made once; a run only walks over tasks and tiles.
#include <espalier/core/kernels/conv2d/tap_convolution.h>
#include <espalier/nn/plan/kernels/product.h>
#include <espalier/sparse/forms/form.h>

namespace espalier::nn::plan {
namespace {

using sparse::detail::ConvPlan;
using sparse::detail::PreparedForward;

class SparseProduct : public Product {
 public:
  SparseProduct(const Graph& graph, const Step& step, int64_t blocks) : Product(graph, step) {
    const sparse::Support support = sparse::nonzero_support(step.weight);
    nnz_ = support.nnz();
    forward_ = sparse::detail::prepare_forward(
        espalier::detail::forward_taps(shape_), blocks, support, step.weight);
    for (int64_t b = 1; b <= blocks; ++b) plans_.push_back(forward_->plan().with_blocks(b));
  }

  void run(const Run& run) const override {
    const ConvPlan& plan = plans_[static_cast<size_t>(run.blocks - 1)];
    const sparse::detail::ForwardOperands operands{
        .in = run.read(x_), .bias = bias(), .out = run.write(y_), .read_soon = true};
    for_tasks(run, plan.tasks(), [&](int64_t task, float* scratch) {
      forward_->run_task(plan, task, operands, scratch);
      const int64_t first = task % plan.strips * plan.strip;
      const int64_t last = std::min(plan.conv.grid_h, first + plan.strip);
      const int64_t image = task / plan.strips * plan.tile.images;
      for (int64_t b = image; b < std::min(run.blocks, image + plan.tile.images); ++b) {
        finish_rows(run, b, first, last);
      }
    });
  }

  int64_t scratch_floats() const override { return forward_->plan().scratch_size(); }
  int64_t nbytes() const override { return forward_->nbytes() + bias_bytes(); }
  int64_t macs() const override { return shape_.p * shape_.q * nnz_; }
  std::string_view format() const override { return forward_->form().name; }

 private:
  int64_t nnz_ = 0;
  std::unique_ptr<const PreparedForward> forward_;
  std::vector<ConvPlan> plans_;  // by number of blocks
};

}  // namespace

std::unique_ptr<Kernel> make_sparse_product(const Graph& graph, const Step& step, int64_t blocks) {
  return std::make_unique<SparseProduct>(graph, step, blocks);
}

}  // namespace espalier::nn::plan
