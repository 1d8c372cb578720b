// SPDX-License-Identifier: Apache-2.0
// Ops that no kernel of plans has: autograd's own, on one sample. They take memory of their own.
#include <espalier/core/mac_counter.h>
#include <espalier/nn/plan/planes/kernel.h>

namespace espalier::nn::plan {
namespace {

class Plain : public PlanesKernel {
 public:
  explicit Plain(const Step& step) : call_(step.plain), inputs_(step.inputs), output_(step.output) {
    // A run on zeros tells what it multiplies, and throws for attributes that the op does not take.
    std::vector<Tensor> zeros;
    for (size_t i = 0; i < call_.operands.size(); ++i) {
      zeros.push_back(call_.constants[i].defined() ? Tensor() : Tensor::zeros(call_.operands[i]));
    }
    macs_ = counted(zeros).second;
  }

  int64_t run(const PlanesRun& run) const override {
    std::vector<Tensor> operands(call_.operands.size());
    auto input = inputs_.begin();
    for (size_t i = 0; i < operands.size(); ++i) {
      if (call_.constants[i].defined()) continue;
      operands[i] = Tensor::empty(call_.operands[i]);
      std::copy_n(run.at(*input++), operands[i].numel(), operands[i].data<float>());
    }
    const auto [out, macs] = counted(operands);
    std::copy_n(std::as_const(out).data<float>(), out.numel(), run.at(output_));
    return macs;
  }

  int64_t macs() const override { return macs_; }
  int64_t nbytes() const override {
    int64_t bytes = 0;
    for (const Tensor& constant : call_.constants) {
      if (constant.defined()) bytes += constant.nbytes();
    }
    return bytes;
  }
  std::string_view format() const override { return "plain"; }

 private:
  std::pair<Tensor, int64_t> counted(const std::vector<Tensor>& operands) const {
    const MacCounter counter;
    Tensor out = run_plain(call_, operands);
    const int64_t macs = counter.macs();
    count_macs(-macs);  // the plan counts the sums of its steps
    return {std::move(out), macs};
  }

  PlainCall call_;
  std::vector<int> inputs_;
  int output_;
  int64_t macs_;
};

}  // namespace

std::unique_ptr<PlanesKernel> make_planes_plain(const Step& step) {
  return std::make_unique<Plain>(step);
}

}  // namespace espalier::nn::plan
