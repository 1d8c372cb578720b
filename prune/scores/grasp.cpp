// SPDX-License-Identifier: Apache-2.0
/// Gradient signal preservation: S = -w * (H g), in first order (and up to a constant factor) the
/// change of the squared norm of the gradient when the weight is removed. The largest go.
///
/// Source: Wang, Zhang, Grosse, arXiv 2002.07376, equation 8 and algorithm 2. As in the published
/// code, samples (equally many of every class, sorted by class) come in two halves A and B, each
/// with a batch norm of its own: g = g_A + g_B and H = H_A + H_B. H g is the derivative of the dot
/// product of g, taken as constant, and the gradient.
#include <espalier/autograd/ops.h>
#include <espalier/nn/trace.h>
#include <espalier/prune/scores/balanced_samples.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {
namespace {

void add_to(std::vector<Tensor>& sums, const std::vector<Variable>& terms) {
  for (size_t i = 0; i < sums.size(); ++i) {
    if (!terms[i].defined()) continue;  // independent of this weight
    const Tensor term = as_double(terms[i].value());
    double* sum = sums[i].data<double>();
    for (int64_t j = 0; j < term.numel(); ++j) sum[j] += term.data<double>()[j];
  }
}

/// A copy of the network, and its loss at temperature T as a function of its weights.
class Landscape {
 public:
  Landscape(const ScoreContext& context, const GraspOptions& options)
      : context_(context), options_(options), net_(context.model.clone()) {
    net_->to(options.precision);
    net_->train(options.mode == ScoringMode::Train);
    for (const ScoredWeight& weight : context.weights) {
      weights_.push_back(net_->parameter(weight.name).value);
    }
  }

  const std::vector<Variable>& weights() const { return weights_; }

  int64_t classes() {
    const nn::EvalScope eval(*net_);
    const NoGrad no_grad;
    return logits(halves_of(scoring_batch(context_, 0)).front().images).size(-1);
  }

  std::vector<Variable> gradient(const data::Batch& batch, bool create_graph) {
    const Variable softened = mul(logits(batch.images), 1.0 / options_.temperature);
    const Variable loss = context_.inputs.loss ? context_.inputs.loss(softened, batch.labels)
                                               : cross_entropy(softened, batch.labels);
    return grad({loss}, weights_, {.create_graph = create_graph, .allow_unused = true});
  }

 private:
  Variable logits(const Tensor& images) {
    // The float32 kernels work in lanes.
    const Layout layout = options_.precision == DType::F32 ? Layout::Nchw16n : Layout::Nchw;
    return (*net_)(Variable(images.to(options_.precision).to(layout)));
  }

  const ScoreContext& context_;
  const GraspOptions& options_;
  std::unique_ptr<nn::Module> net_;
  std::vector<Variable> weights_;
};

class GraspScore : public Score {
 public:
  explicit GraspScore(const GraspOptions& options) : options_(options) {}
  ScoreNeeds needs() const override { return ScoreNeeds::Gradients; }
  Keep keep() const override { return Keep::Smallest; }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    const RecordingScope recording(true);
    Landscape landscape(context, options_);
    const std::vector<data::Batch> halves = draw(context, landscape.classes());

    std::vector<Tensor> g = zeros(context);
    for (const data::Batch& half : halves) add_to(g, landscape.gradient(half, false));

    std::vector<Tensor> hessian_g = zeros(context);
    for (const data::Batch& half : halves) {
      const std::vector<Variable> gradient = landscape.gradient(half, true);
      Variable dot(Tensor::scalar(0.0, options_.precision));
      for (size_t w = 0; w < gradient.size(); ++w) {
        if (!gradient[w].defined()) continue;
        dot = add(dot, sum(mul(gradient[w], Variable(g[w].to(options_.precision)))));
      }
      if (!dot.requires_grad()) continue;  // a gradient that is constant
      add_to(hessian_g, grad({dot}, landscape.weights(), {.allow_unused = true}));
    }

    for (size_t w = 0; w < hessian_g.size(); ++w) {
      const Tensor weight = as_double(context.weights[w].parameter->value.value());
      double* s = hessian_g[w].data<double>();
      for (int64_t i = 0; i < weight.numel(); ++i) s[i] *= -weight.data<double>()[i];
    }
    return hessian_g;
  }

 private:
  static std::vector<Tensor> zeros(const ScoreContext& context) {
    std::vector<Tensor> result;
    for (const ScoredWeight& weight : context.weights) {
      result.push_back(Tensor::zeros(weight.parameter->shape(), DType::F64));
    }
    return result;
  }

  /// The halves of every iteration's samples; each iteration starts a good way behind the one
  /// before.
  std::vector<data::Batch> draw(const ScoreContext& context, int64_t classes) const {
    std::vector<data::Batch> halves;
    const int64_t iterations = context.inputs.single_batch ? 1 : options_.iterations;
    for (int64_t i = 0; i < iterations; ++i) {
      for (data::Batch& half :
           halves_of(balanced_samples(context, classes, options_.samples_per_class, i * 1000))) {
        halves.push_back(std::move(half));
      }
    }
    return halves;
  }

  GraspOptions options_;
};

}  // namespace

std::unique_ptr<Score> grasp_score(const GraspOptions& options) {
  return std::make_unique<GraspScore>(options);
}

}  // namespace espalier::prune
