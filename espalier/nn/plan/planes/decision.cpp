// SPDX-License-Identifier: Apache-2.0
// Decision: the means of the planes, one or two small layers, and a step.
#include <optional>

#include <espalier/core/kernels/clones.h>
#include <espalier/core/kernels/conv2d/planes_few.h>
#include <espalier/nn/plan/planes/kernel.h>

namespace espalier::nn::plan {
namespace {

using espalier::detail::FewPlanes;
using espalier::detail::PlanesLimits;

/// The mean of each of `channels` planes of `plane` positions. The block that follows may need no
/// more than this: as many chains as loads of a cache line keep busy.
ESPALIER_CLONES void means_of(const float* x, int64_t channels, int64_t plane, float* out) {
  constexpr int64_t kChains = 32;
  const float share = 1.0f / static_cast<float>(plane);
  for (int64_t c = 0; c < channels; ++c, x += plane) {
    float sums[kChains] = {};
    int64_t i = 0;
    for (; i + kChains <= plane; i += kChains) {
      for (int64_t j = 0; j < kChains; ++j) sums[j] += x[i + j];
    }
    for (; i < plane; ++i) sums[0] += x[i];
    for (int64_t j = kChains / 2; j > 0; j /= 2) {
      for (int64_t k = 0; k < j; ++k) sums[k] += sums[k + j];
    }
    out[c] = sums[0] * share;
  }
}

int64_t whole_vectors(int64_t floats) {
  return (floats + kPlanesGranule - 1) / kPlanesGranule * kPlanesGranule;
}

/// y = limited(W x + b).
class SmallLayer {
 public:
  SmallLayer(const Tensor& weight, const Tensor& bias)
      : outputs_(weight.size(0)),
        inputs_(weight.size(1)),
        bias_(bias),
        planes_(conv2d_shape({1, inputs_, 1, 1}, {outputs_, inputs_, 1, 1}, {}, "decision"),
                weight.data<float>()) {}

  void run(const float* x, const PlanesLimits& limits, float* scratch, float* y) const {
    planes_.fill(x, scratch);
    for (int64_t task = 0; task < planes_.tasks(); ++task) {
      planes_.run(
          task,
          {.x = x, .weight = nullptr, .bias = bias_.data<float>(), .y = y, .limits = limits},
          scratch);
    }
  }
  int64_t outputs() const { return outputs_; }
  int64_t macs() const { return outputs_ * inputs_; }
  int64_t scratch_floats() const { return whole_vectors(planes_.scratch_size()); }
  int64_t nbytes() const { return planes_.nbytes() + bias_.nbytes(); }

 private:
  int64_t outputs_, inputs_;
  Tensor bias_;
  FewPlanes planes_;
};

class PlanesDecision : public PlanesKernel {
 public:
  PlanesDecision(const Graph& graph, const Step& step)
      : input_(step.inputs[0]),
        output_(step.output),
        channels_(graph.value(input_).shape[0]),
        plane_(graph.value(input_).shape.numel() / channels_),
        least_(step.rule.least),
        last_(step.rule.weight, step.rule.bias) {
    if (step.rule.hidden.defined()) hidden_.emplace(step.rule.hidden, step.rule.hidden_bias);
  }

  int64_t run(const PlanesRun& run) const override {
    float* h = run.scratch;
    means_of(run.at(input_), channels_, plane_, h);
    float* next = h + whole_vectors(channels_);
    if (hidden_) {
      float* layer = next + hidden_->scratch_floats();
      hidden_->run(h, {.low = 0.0f}, next, layer);
      h = layer;
      next = layer + whole_vectors(hidden_->outputs());
    }
    float logits[2];
    last_.run(h, {}, next, logits);
    const float logit = last_.outputs() == 2 ? logits[1] - logits[0] : logits[0];
    *run.at(output_) = logit < least_ ? 0.0f : 1.0f;
    return macs();
  }

  int64_t macs() const override { return last_.macs() + (hidden_ ? hidden_->macs() : 0); }
  int64_t scratch_floats() const override {
    const int64_t first = whole_vectors(channels_) + last_.scratch_floats();
    if (!hidden_) return first;
    return first + hidden_->scratch_floats() + whole_vectors(hidden_->outputs());
  }
  int64_t nbytes() const override { return last_.nbytes() + (hidden_ ? hidden_->nbytes() : 0); }
  std::string_view format() const override { return "dense"; }

 private:
  int input_, output_;
  int64_t channels_, plane_;
  float least_;
  SmallLayer last_;
  std::optional<SmallLayer> hidden_;
};

}  // namespace

std::unique_ptr<PlanesKernel> make_planes_decision(const Graph& graph, const Step& step) {
  return std::make_unique<PlanesDecision>(graph, step);
}

}  // namespace espalier::nn::plan
