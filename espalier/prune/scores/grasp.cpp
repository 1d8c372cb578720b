// SPDX-License-Identifier: Apache-2.0
/// Gradient signal preservation: S = -w * (H g), in first order (and up to a constant factor) the
/// change of the squared norm of the gradient when the weight is removed. The largest go.
///
/// Source: Wang, Zhang, Grosse, arXiv 2002.07376, equation 8 and algorithm 2. As in the published
/// code, samples (equally many of every class, sorted by class) come in two halves A and B, each
/// with a batch norm of its own: g = g_A + g_B and H = H_A + H_B. H g is the derivative of the dot
/// product of g, taken as constant, and the gradient.
///
/// Summed over a filter in front of batch norm in training mode, S is exactly +|g_filter|^2, so the
/// filters with the largest gradients would go: the loss L does not depend on the filter's scale,
/// so w.g = 0 over the filter, and the derivative of that is H w = -g there and 0 elsewhere; then
/// S = -w.H g = -(H w).g = g.g. Such sums are looked for, and scored with running statistics.
#include <espalier/autograd/ops.h>
#include <espalier/prune/scores/balanced_samples.h>
#include <espalier/prune/scores/gradients.h>
#include <espalier/prune/scores/scale_free.h>

namespace espalier::prune {
namespace {

void add_to(std::vector<Tensor>& sums, const std::vector<Tensor>& terms) {
  for (size_t i = 0; i < sums.size(); ++i) {
    double* sum = sums[i].data<double>();
    for (int64_t j = 0; j < sums[i].numel(); ++j) sum[j] += terms[i].data<double>()[j];
  }
}

class GraspScore : public Score {
 public:
  explicit GraspScore(const GraspOptions& options) : options_(options) {}
  ScoreNeeds needs() const override { return ScoreNeeds::Gradients; }
  Keep keep() const override { return Keep::Smallest; }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    Landscape landscape = look(context, options_.mode.value_or(ScoringMode::Train));
    const std::vector<data::Batch> halves =
        draw(context, landscape.outputs(halves_of(scoring_batch(context, 0)).front()));
    const std::vector<Tensor> g = gradient_in_the_right_mode(context, landscape, halves);
    std::vector<Tensor> hessian_g = zeros(context);
    for (const data::Batch& half : halves) add_to(hessian_g, landscape.hessian_times(half, g));
    multiply_by_weights(context, hessian_g, -1.0);
    return hessian_g;
  }

 private:
  /// The loss of logits / T.
  Landscape look(const ScoreContext& context, ScoringMode mode) const {
    PruneInputs softened = context.inputs;
    softened.loss = [loss = context.inputs.loss, t = options_.temperature](const Variable& logits,
                                                                           const Tensor& labels) {
      const Variable soft = mul(logits, 1.0 / t);
      return loss ? loss(soft, labels) : cross_entropy(soft, labels);
    };
    return {
        context.model, context.weights, softened, {.mode = mode, .precision = options_.precision}};
  }

  static std::vector<Tensor> gradient_of(const ScoreContext& context,
                                         Landscape& landscape,
                                         const std::vector<data::Batch>& halves) {
    std::vector<Tensor> g = zeros(context);
    for (const data::Batch& half : halves) add_to(g, landscape.gradient(half));
    return g;
  }

  /// g, in the mode in which the sums over units say something, if there is one: a new landscape,
  /// because training mode has changed the running statistics of the old one.
  std::vector<Tensor> gradient_in_the_right_mode(const ScoreContext& context,
                                                 Landscape& landscape,
                                                 const std::vector<data::Batch>& halves) const {
    std::vector<Tensor> g = gradient_of(context, landscape, halves);
    ScaleFree found = scale_free(context, g);
    if (found && !options_.mode) {
      note(context,
           cat("grasp: scored with batch norm's running statistics, because with the batch's own "
               "the loss does not change when the units of ",
               found.told(),
               " are rescaled, and their scores would only be their squared gradients"));
      landscape = look(context, ScoringMode::Eval);
      g = gradient_of(context, landscape, halves);
      found = scale_free(context, g);
    }
    if (found) {
      note(context,
           cat("grasp: the loss does not change when the units of ",
               found.told(),
               " are rescaled, so their scores are their squared gradients, and those with the "
               "largest are removed first; scoring-mode eval is for such sums"));
    }
    return g;
  }

  static ScaleFree scale_free(const ScoreContext& context, const std::vector<Tensor>& g) {
    if (context.sites == nullptr) return {};
    std::vector<Tensor> terms;
    for (const Tensor& one : g) terms.push_back(one.clone());
    multiply_by_weights(context, terms, 1.0);
    return scale_free_sites(*context.sites, context.weights, terms);
  }

  static void note(const ScoreContext& context, std::string text) {
    if (context.notes != nullptr) context.notes->push_back(std::move(text));
  }

  static void multiply_by_weights(const ScoreContext& context,
                                  std::vector<Tensor>& values,
                                  double sign) {
    for (size_t w = 0; w < values.size(); ++w) {
      const Tensor weight = as_double(context.weights[w].parameter->value.value());
      double* v = values[w].data<double>();
      for (int64_t i = 0; i < weight.numel(); ++i) v[i] *= sign * weight.data<double>()[i];
    }
  }

  static std::vector<Tensor> zeros(const ScoreContext& context) {
    std::vector<Tensor> result;
    for (const nn::NamedParameter& weight : context.weights) {
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
