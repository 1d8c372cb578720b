// SPDX-License-Identifier: Apache-2.0
/// Taylor, first order: L(z = 0) - L(z = 1) is about -dL/dz, and dL/dz = sum of g w over what the
/// gate z multiplies. Squared (2019): I = (dL/dz)^2 of the mini-batch's mean loss, averaged over
/// mini-batches. The square is of the batch's gradient, in which samples cancel: scores compare
/// only at one batch size. Absolute (2016): mean over samples of |dL_n/dz|, then every layer's
/// scores are divided by their l2 norm, so that the paper's 1/M over positions falls out (not where
/// layers of different resolution make one stream: there it is left out).
///
/// Source: Molchanov, Mallya, Tyree, Frosio, Kautz, arXiv 1906.10771, equations 6 to 8; Molchanov,
/// Tyree, Karras, Aila, Kautz, arXiv 1611.06440, section 2.2.
#include <cmath>

#include <espalier/prune/scores/taylor.h>

namespace espalier::prune {
namespace {

class TaylorScore : public Score {
 public:
  explicit TaylorScore(const TaylorOptions& options) : options_(options) {}
  ScoreNeeds needs() const override { return ScoreNeeds::Gradients; }
  Reduce reduce() const override {
    return options_.form == TaylorForm::SumOfSquares ? Reduce::Sum : Reduce::Max;
  }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    if (options_.form == TaylorForm::SumOfSquares) return squares(context);
    const std::vector<std::vector<Tensor>> gates = all_gates(context);
    std::vector<Tensor> scores;
    for (size_t w = 0; w < context.weights.size(); ++w) {
      std::vector<Tensor> of_weight;
      for (const auto& batch : gates) of_weight.push_back(batch[w]);
      scores.push_back(
          spread_over_filters(from_gates(of_weight), context.weights[w].parameter->shape()));
    }
    return scores;
  }

  std::vector<std::vector<double>> score_units(const ScoreContext& context,
                                               std::span<const Site> sites) override {
    std::vector<std::vector<double>> scores;
    if (options_.form == TaylorForm::SumOfSquares) {
      scores = Score::score_units(context, sites);
    } else {
      const std::vector<std::vector<Tensor>> gates = all_gates(context);
      for (const Site& site : sites) {
        std::vector<Tensor> of_site;
        for (const auto& batch : gates) {
          of_site.push_back(unit_gates(site, context.weights, batch));
        }
        scores.push_back(from_gates(of_site));
      }
    }
    for (size_t s = 0; s < sites.size(); ++s) remember(sites[s].name, scores[s]);
    return scores;
  }

  std::map<std::string, Tensor> state() const override { return last_; }
  void load_state(const std::map<std::string, Tensor>& state) override {
    last_.clear();
    for (const auto& [name, tensor] : state) last_[name] = tensor.clone();
  }

 private:
  std::vector<std::vector<Tensor>> all_gates(const ScoreContext& context) const {
    std::vector<std::vector<Tensor>> gates;
    for (const data::Batch& batch : scoring_batches(context, options_.batches)) {
      gates.push_back(gate_gradients(context, batch, options_.mode));
    }
    return gates;
  }

  /// The mean over batches of every (g w)^2.
  std::vector<Tensor> squares(const ScoreContext& context) const {
    const std::vector<data::Batch> batches = scoring_batches(context, options_.batches);
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) {
      scores.push_back(Tensor::zeros(weight.parameter->shape(), DType::F64));
    }
    for (const data::Batch& batch : batches) {
      const std::vector<Tensor> gradients = dense_gradients(context, batch, options_.mode);
      for (size_t w = 0; w < scores.size(); ++w) {
        const Tensor weight = as_double(context.weights[w].parameter->value.value());
        for (int64_t i = 0; i < weight.numel(); ++i) {
          const double product = gradients[w].data<double>()[i] * weight.data<double>()[i];
          scores[w].data<double>()[i] += product * product / static_cast<double>(batches.size());
        }
      }
    }
    return scores;
  }

  /// Scores of the columns of (N,units) gate gradients, one tensor per batch.
  std::vector<double> from_gates(const std::vector<Tensor>& batches) const {
    const int64_t units = batches.front().size(1);
    std::vector<double> scores(static_cast<size_t>(units), 0.0);
    for (const Tensor& gates : batches) {
      const int64_t samples = gates.size(0);
      for (int64_t u = 0; u < units; ++u) {
        double signed_sum = 0.0;
        double absolute_sum = 0.0;
        for (int64_t n = 0; n < samples; ++n) {
          const double gate = gates.data<double>()[n * units + u];
          signed_sum += gate;
          absolute_sum += std::abs(gate);
        }
        const double mean = signed_sum / static_cast<double>(samples);
        const double score = options_.form == TaylorForm::Gate
                                 ? mean * mean
                                 : absolute_sum / static_cast<double>(samples);
        scores[static_cast<size_t>(u)] += score / static_cast<double>(batches.size());
      }
    }
    if (options_.form == TaylorForm::AbsoluteMean) normalize(scores);
    return scores;
  }

  static void normalize(std::vector<double>& scores) {
    double squares = 0.0;
    for (double score : scores) squares += score * score;
    if (squares == 0.0) return;
    for (double& score : scores) score /= std::sqrt(squares);
  }

  void remember(const std::string& site, std::vector<double>& scores) {
    if (options_.momentum == 0.0) return;
    const auto last = last_.find(site);
    if (last != last_.end()) {
      const std::vector<double> before = last->second.to_vector<double>();
      for (size_t u = 0; u < scores.size(); ++u) {
        scores[u] = options_.momentum * before[u] + (1.0 - options_.momentum) * scores[u];
      }
    }
    last_[site] = Tensor::from<double>({static_cast<int64_t>(scores.size())}, scores);
  }

  TaylorOptions options_;
  std::map<std::string, Tensor> last_;  // scores of the last update by site
};

}  // namespace

std::unique_ptr<Score> taylor_score(const TaylorOptions& options) {
  return std::make_unique<TaylorScore>(options);
}

}  // namespace espalier::prune
