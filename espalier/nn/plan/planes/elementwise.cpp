// SPDX-License-Identifier: Apache-2.0
// Affine, Add and Clamp on one sample: plain loops, which the compiler vectorizes.
#include <espalier/core/kernels/clones.h>
#include <espalier/nn/plan/planes/kernel.h>

namespace espalier::nn::plan {
namespace {

// Comparisons with a NaN are false: it stays.
ESPALIER_INLINE float limited(float v, float low, float high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

ESPALIER_CLONES void affine_run(
    const float* a, float scale, float shift, const Limits& limits, int64_t count, float* y) {
  const float low = limits.low;
  const float high = limits.high;
  for (int64_t i = 0; i < count; ++i) y[i] = limited(a[i] * scale + shift, low, high);
}

ESPALIER_CLONES void sum_run(
    const float* a, const float* b, const Limits& limits, int64_t count, float* y) {
  const float low = limits.low;
  const float high = limits.high;
  for (int64_t i = 0; i < count; ++i) y[i] = limited(a[i] + b[i], low, high);
}

ESPALIER_CLONES void limit_run(const float* a, float low, float high, int64_t count, float* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = limited(a[i], low, high);
}

class PlanesElementwise : public PlanesKernel {
 public:
  PlanesElementwise(const Graph& graph, const Step& step)
      : inputs_(step.inputs),
        output_(step.output),
        limits_(step.limits),
        size_(graph.value(step.output).shape.numel()) {}

  int64_t run(const PlanesRun& run) const override {
    const float* a = run.at(inputs_[0]);
    if (inputs_.size() == 1) {
      limit_planes(a, limits_, size_, run.at(output_));
    } else {
      sum_run(a, run.at(inputs_[1]), limits_, size_, run.at(output_));
    }
    return 0;
  }

 private:
  std::vector<int> inputs_;
  int output_;
  Limits limits_;
  int64_t size_;
};

class PlanesAffine : public PlanesKernel {
 public:
  PlanesAffine(const Graph& graph, const Step& step)
      : input_(step.inputs[0]),
        output_(step.output),
        limits_(step.limits),
        scale_(step.weight),
        shift_(step.bias),
        channels_(scale_.numel()),
        plane_(graph.value(step.output).shape.numel() / channels_) {}

  int64_t run(const PlanesRun& run) const override {
    const float* x = run.at(input_);
    float* y = run.at(output_);
    for (int64_t c = 0; c < channels_; ++c) {
      affine_run(x + c * plane_,
                 scale_.data<float>()[c],
                 shift_.data<float>()[c],
                 limits_,
                 plane_,
                 y + c * plane_);
    }
    return 0;
  }

 private:
  int input_, output_;
  Limits limits_;
  Tensor scale_, shift_;
  int64_t channels_, plane_;
};

}  // namespace

void limit_planes(const float* x, const Limits& limits, int64_t count, float* y) {
  if (limits.any()) {
    limit_run(x, limits.low, limits.high, count, y);
  } else if (x != y) {
    std::copy_n(x, count, y);
  }
}

std::unique_ptr<PlanesKernel> make_planes_elementwise(const Graph& graph, const Step& step) {
  if (step.kind == StepKind::Affine) return std::make_unique<PlanesAffine>(graph, step);
  return std::make_unique<PlanesElementwise>(graph, step);
}

}  // namespace espalier::nn::plan
