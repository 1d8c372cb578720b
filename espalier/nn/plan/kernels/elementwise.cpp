// SPDX-License-Identifier: Apache-2.0
// Affine, Add, Clamp, and the epilogue of products: one loop over vectors each.
#include <espalier/core/kernels/clones.h>
#include <espalier/core/kernels/vector8.h>
#include <espalier/nn/plan/kernels/epilogue.h>
#include <espalier/nn/plan/kernels/kernel.h>

namespace espalier::nn::plan {
namespace {

using V = Vector8<float>;
constexpr int64_t kHalves = 2;  // V in a vector of 16

// By reference: what a vector argument looks like would depend on the instruction set.
ESPALIER_INLINE void store_limited(const V& sum, const V& low, const V& high, V& y) {
  // Comparisons with a NaN are false: it stays.
  const V v = sum < low ? low : sum;
  y = v > high ? high : v;
}

/// y = limited(a * scale + shift). `count` in V.
ESPALIER_CLONES void affine_run(
    const float* a, float scale, float shift, const Limits& limits, int64_t count, float* y) {
  const V* va = reinterpret_cast<const V*>(a);
  V* vy = reinterpret_cast<V*>(y);
  const V low = V{} + limits.low;
  const V high = V{} + limits.high;
  for (int64_t i = 0; i < count; ++i) store_limited(va[i] * scale + shift, low, high, vy[i]);
}

/// y = limited(a + b); a null b is none.
ESPALIER_CLONES void sum_run(
    const float* a, const float* b, const Limits& limits, int64_t count, float* y) {
  const V* va = reinterpret_cast<const V*>(a);
  const V* vb = reinterpret_cast<const V*>(b);
  V* vy = reinterpret_cast<V*>(y);
  const V low = V{} + limits.low;
  const V high = V{} + limits.high;
  if (b == nullptr) {
    for (int64_t i = 0; i < count; ++i) store_limited(va[i], low, high, vy[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) store_limited(va[i] + vb[i], low, high, vy[i]);
  }
}

/// y = limited(sum + b), of which `sum` is y * factor, `factor` of 16 lanes, and +0 where the
/// factor is 0 or y is null; a null b is none. `count` in vectors of 16.
template <bool kSums, bool kAdds>
ESPALIER_INLINE void scaled_loop(
    const V* factor, const V* b, const Limits& limits, int64_t count, V* y) {
  const V low = V{} + limits.low;
  const V high = V{} + limits.high;
  for (int64_t half = 0; half < kHalves; ++half) {
    const V f = kSums ? factor[half] : V{};
    for (int64_t i = half; i < count * kHalves; i += kHalves) {
      V sum = V{};
      if constexpr (kSums) sum = f == V{} ? V{} : y[i] * f;
      if constexpr (kAdds) sum += b[i];
      store_limited(sum, low, high, y[i]);
    }
  }
}
ESPALIER_CLONES void scaled_run(
    const float* factor, const float* b, const Limits& limits, int64_t count, float* y) {
  const V* vf = reinterpret_cast<const V*>(factor);
  const V* vb = reinterpret_cast<const V*>(b);
  V* vy = reinterpret_cast<V*>(y);
  if (factor != nullptr && b != nullptr) {
    scaled_loop<true, true>(vf, vb, limits, count, vy);
  } else if (factor != nullptr) {
    scaled_loop<true, false>(vf, vb, limits, count, vy);
  } else if (b != nullptr) {
    scaled_loop<false, true>(vf, vb, limits, count, vy);
  } else {
    scaled_loop<false, false>(vf, vb, limits, count, vy);
  }
}

// Floats of one task.
constexpr int64_t kTaskFloats = 1 << 14;

class Elementwise : public Kernel {
 public:
  Elementwise(const Graph& graph, const Step& step)
      : inputs_(step.inputs),
        output_(step.output),
        limits_(step.limits),
        size_(graph.value(step.output).shape.numel() * kLanes) {}

  void run(const Run& run) const override {
    const float* a = run.read(inputs_[0]);
    const float* b = inputs_.size() > 1 ? run.read(inputs_[1]) : nullptr;
    float* y = run.write(output_);
    const int64_t size = size_ * run.blocks;
    for_tasks(run, (size + kTaskFloats - 1) / kTaskFloats, [&](int64_t task, float*) {
      const int64_t at = task * kTaskFloats;
      const int64_t count = std::min(kTaskFloats, size - at) / (kLanes / kHalves);
      sum_run(a + at, b == nullptr ? nullptr : b + at, limits_, count, y + at);
    });
  }

 private:
  std::vector<int> inputs_;
  int output_;
  Limits limits_;
  int64_t size_;
};

class Affine : public Kernel {
 public:
  Affine(const Graph& graph, const Step& step)
      : input_(step.inputs[0]),
        output_(step.output),
        limits_(step.limits),
        scale_(step.weight),
        shift_(step.bias),
        channels_(scale_.numel()),
        plane_(graph.value(step.output).shape.numel() / channels_ * kLanes) {}

  void run(const Run& run) const override {
    const float* x = run.read(input_);
    float* y = run.write(output_);
    for_tasks(run, run.blocks * channels_, [&](int64_t task, float*) {
      const int64_t c = task % channels_;
      affine_run(x + task * plane_,
                 scale_.data<float>()[c],
                 shift_.data<float>()[c],
                 limits_,
                 plane_ / (kLanes / kHalves),
                 y + task * plane_);
    });
  }
  int64_t nbytes() const override { return scale_.nbytes() + shift_.nbytes(); }

 private:
  int input_, output_;
  Limits limits_;
  Tensor scale_, shift_;
  int64_t channels_, plane_;
};

}  // namespace

void finish(const Epilogue& epilogue,
            const float* residual,
            int64_t planes,
            int64_t plane_stride,
            int64_t positions,
            float* y) {
  for (int64_t p = 0; p < planes; ++p, y += plane_stride) {
    sum_run(y, residual, epilogue.limits, positions * kHalves, y);
    if (residual != nullptr) residual += plane_stride;
  }
}

void finish_scaled(
    const Limits& limits, const float* factor, const float* residual, int64_t positions, float* y) {
  scaled_run(factor, residual, limits, positions, y);
}

std::unique_ptr<Kernel> make_elementwise(const Graph& graph, const Step& step) {
  if (step.kind == StepKind::Affine) return std::make_unique<Affine>(graph, step);
  return std::make_unique<Elementwise>(graph, step);
}

}  // namespace espalier::nn::plan
