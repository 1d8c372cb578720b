// SPDX-License-Identifier: Apache-2.0
/// Optimal brain damage: near a minimum, and as if no two weights had to do with each other, the
/// loss rises by h_kk w_k^2 / 2 when weight k goes.
///
/// Of cross-entropy E g^2 with labels drawn from the network's answers is the diagonal of
/// Gauss-Newton's matrix, which is never negative; that is the paper's choice, too, which it finds
/// by one pass backwards over squares that leaves more out. Where activations are piecewise linear
/// the loss is convex in each single weight, so that there it is the Hessian's diagonal.
///
/// Source: LeCun, Denker, Solla, "Optimal brain damage", NeurIPS 1989; estimate of a diagonal:
/// Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1990.
#include <cmath>

#include <espalier/prune/curvature/drawn_labels.h>
#include <espalier/prune/scores/damage.h>

namespace espalier::prune {
namespace {

class DamageScore : public Score {
 public:
  explicit DamageScore(const DamageOptions& options) : options_(options) {}
  ScoreNeeds needs() const override { return ScoreNeeds::Gradients; }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores = diagonal(context);
    for (size_t w = 0; w < scores.size(); ++w) {
      const Tensor weight = as_double(context.weights[w].parameter->value.value());
      for (int64_t i = 0; i < weight.numel(); ++i) {
        double& s = scores[w].data<double>()[i];
        const double value = weight.data<double>()[i];
        // An estimate below zero says that little is known of the weight, not that it should go.
        s = 0.5 * std::abs(s) * value * value;
      }
    }
    return scores;
  }

 private:
  static std::vector<Tensor> zeros_like(std::span<const nn::NamedParameter> weights) {
    std::vector<Tensor> zeros;
    for (const nn::NamedParameter& weight : weights) {
      zeros.push_back(Tensor::zeros(weight.parameter->shape(), DType::F64));
    }
    return zeros;
  }

  std::vector<Tensor> diagonal(const ScoreContext& context) const {
    scoring_batch(context, 0);  // throws where there is none
    if (options_.diagonal != Diagonal::Hessian) return mean_squares(context);
    return options_.draws == 0 ? exact(context) : estimate(context);
  }

  std::vector<Tensor> mean_squares(const ScoreContext& context) const {
    const SampleGradientOptions options{.gradients = options_.gradients, .mode = options_.mode};
    const PruneInputs inputs = options_.diagonal == Diagonal::Fisher
                                   ? context.inputs
                                   : with_drawn_labels(context.model, context.inputs, context.rng);
    const int64_t count = gradient_count(inputs, options);
    if (count < options.gradients && context.notes != nullptr) {
      context.notes->push_back(
          cat("asked for squares of ", options.gradients, " gradients; the samples gave ", count));
    }
    std::vector<Tensor> sums = zeros_like(context.weights);
    visit_sample_gradients(
        context.model, context.weights, inputs, options, [&](std::span<const Tensor> gradients) {
          for (size_t w = 0; w < sums.size(); ++w) {
            const double* g = gradients[w].data<double>();
            double* sum = sums[w].data<double>();
            for (int64_t i = 0; i < sums[w].numel(); ++i) {
              sum[i] += g[i] * g[i] / static_cast<double>(count);
            }
          }
        });
    return sums;
  }

  std::vector<Tensor> estimate(const ScoreContext& context) const {
    Landscape landscape(context.model, context.weights, context.inputs, {.mode = options_.mode});
    std::vector<Tensor> sums = zeros_like(context.weights);
    for (int64_t draw = 0; draw < options_.draws; ++draw) {
      Rng own = context.rng.fork(static_cast<uint64_t>(draw));
      std::vector<Tensor> signs = zeros_like(context.weights);
      for (Tensor& v : signs) {
        for (int64_t i = 0; i < v.numel(); ++i)
          v.data<double>()[i] = own.below(2) == 0 ? 1.0 : -1.0;
      }
      const auto products = landscape.hessian_times(scoring_batch(context, draw), signs);
      for (size_t w = 0; w < sums.size(); ++w) {
        for (int64_t i = 0; i < sums[w].numel(); ++i) {
          sums[w].data<double>()[i] += signs[w].data<double>()[i] * products[w].data<double>()[i] /
                                       static_cast<double>(options_.draws);
        }
      }
    }
    return sums;
  }

  std::vector<Tensor> exact(const ScoreContext& context) const {
    Landscape landscape(context.model, context.weights, context.inputs, {.mode = options_.mode});
    const data::Batch batch = scoring_batch(context, 0);
    std::vector<Tensor> entries = zeros_like(context.weights);
    std::vector<Tensor> one = zeros_like(context.weights);
    for (size_t w = 0; w < one.size(); ++w) {
      for (int64_t i = 0; i < one[w].numel(); ++i) {
        one[w].data<double>()[i] = 1.0;
        entries[w].data<double>()[i] = landscape.hessian_times(batch, one)[w].data<double>()[i];
        one[w].data<double>()[i] = 0.0;
      }
    }
    return entries;
  }

  DamageOptions options_;
};

}  // namespace

std::unique_ptr<Score> damage_score(const DamageOptions& options) {
  return std::make_unique<DamageScore>(options);
}

}  // namespace espalier::prune
