// SPDX-License-Identifier: Apache-2.0
// Dense convolution by core's strips, with weights that were packed once. Nothing is packed or
// allocated in a run, and each strip of rows gets its epilogue before the next one begins.
#include <espalier/core/kernels/conv2d/strips.h>
#include <espalier/nn/plan/kernels/product.h>

namespace espalier::nn::plan {
namespace {

class DenseConvolution : public Product {
 public:
  DenseConvolution(const Graph& graph, const Step& step, int64_t blocks)
      : Product(graph, step),
        strips_(espalier::detail::forward_taps(shape_), blocks),
        packed_(
            strips_.pack(step.weight.data<float>(), espalier::detail::forward_strides(shape_))) {}

  void run(const Run& run) const override {
    const float* x = run.read(x_);
    float* y = run.write(y_);
    for_tasks(run, strips_.tasks(run.blocks), [&](int64_t task, float* scratch) {
      strips_.run(task, x, packed_.data<float>(), bias(), y, scratch);
      const auto rows = strips_.rows(task);
      finish_rows(run, rows.block, rows.first, rows.last);
    });
  }

  int64_t scratch_floats() const override { return strips_.scratch_size(); }
  int64_t nbytes() const override { return packed_.nbytes() + bias_bytes(); }
  int64_t macs() const override { return shape_.macs(); }
  std::string_view format() const override { return "dense"; }

 private:
  espalier::detail::ConvStrips strips_;
  Tensor packed_;
};

}  // namespace

std::unique_ptr<Kernel> make_dense_convolution(const Graph& graph,
                                               const Step& step,
                                               int64_t blocks) {
  return std::make_unique<DenseConvolution>(graph, step, blocks);
}

}  // namespace espalier::nn::plan
