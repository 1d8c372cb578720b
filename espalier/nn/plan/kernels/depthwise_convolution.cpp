// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution by core's kernels; bias, residual and limits are applied in registers.
#include <espalier/core/kernels/conv2d/depthwise.h>
#include <espalier/nn/plan/kernels/product.h>

namespace espalier::nn::plan {
namespace {

class DepthwiseConvolution : public Product {
 public:
  DepthwiseConvolution(const Graph& graph, const Step& step)
      : Product(graph, step), weight_(step.weight.contiguous()), tasks_(shape_, true) {}

  void run(const Run& run) const override {
    const int64_t in = shape_.c * shape_.h * shape_.w * kLanes;
    const int64_t out = shape_.k * shape_.p * shape_.q * kLanes;
    const float* added = residual(run);
    for_tasks(run, run.blocks * tasks_.tasks(), [&](int64_t task, float*) {
      const int64_t block = task / tasks_.tasks();
      tasks_.run(task % tasks_.tasks(),
                 {.x = run.read(x_) + block * in,
                  .weight = weight_.data<float>(),
                  .bias = bias(),
                  .residual = added == nullptr ? nullptr : added + block * out,
                  .y = run.write(y_) + block * out,
                  .limits = {epilogue_.limits.low, epilogue_.limits.high}});
    });
  }

  int64_t nbytes() const override { return weight_.nbytes() + bias_bytes(); }
  int64_t macs() const override { return shape_.macs(); }
  std::string_view format() const override { return "dense"; }

 private:
  Tensor weight_;
  espalier::detail::DepthwiseTasks tasks_;
};

}  // namespace

std::unique_ptr<Kernel> make_depthwise_convolution(const Graph& graph, const Step& step) {
  return std::make_unique<DepthwiseConvolution>(graph, step);
}

}  // namespace espalier::nn::plan
