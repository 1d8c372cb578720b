// SPDX-License-Identifier: Apache-2.0
/// Fluctuation: a channel that hardly varies can be made up for by a constant, however large it is;
/// what can't be is var(x_j) ||W_:j||^2, the variance that it gives to the outputs of its reader.
/// In standard deviations from the mean of a site, so that sites compare.
///
/// Source: An, Zhao, Yu, Tang, Wang, arXiv 2312.11983, and the authors' code (channels of linear
/// layers); of a convolution a channel has a column for every tap, and these are added up (ours).
#include <algorithm>
#include <cmath>

#include <espalier/prune/curvature/input_moments.h>
#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/scores/score.h>
#include <espalier/prune/sites/reader.h>

namespace espalier::prune {
namespace {

/// (s - mean) / deviation over the units that are there, the deviation that of a sample; 0 where
/// all are alike.
void standardize(std::vector<double>& scores, const std::vector<uint8_t>& alive) {
  double count = 0.0;
  double mean = 0.0;
  for (size_t u = 0; u < scores.size(); ++u) count += alive[u];
  for (size_t u = 0; u < scores.size(); ++u) mean += alive[u] != 0 ? scores[u] / count : 0.0;
  double squares = 0.0;
  for (size_t u = 0; u < scores.size(); ++u) {
    if (alive[u] != 0) squares += (scores[u] - mean) * (scores[u] - mean);
  }
  const double deviation = count < 2.0 ? 0.0 : std::sqrt(squares / (count - 1.0));
  for (double& s : scores) s = deviation > 0.0 ? (s - mean) / deviation : 0.0;
}

class FluctuationScore : public Score {
 public:
  explicit FluctuationScore(std::shared_ptr<InputMoments> moments) : moments_(std::move(moments)) {}
  ScoreNeeds needs() const override { return ScoreNeeds::Activations; }

  std::vector<Tensor> compute(const ScoreContext&) override {
    throw NotImplemented("score: fluctuations are of channels, not of weights");
  }

  std::vector<std::vector<double>> score_units(const ScoreContext& context,
                                               std::span<const Site> sites) override {
    std::vector<nn::NamedParameter> readers;
    for (const Site& site : sites) {
      const SitePart* reader = only_reader(site);
      ESPALIER_CHECK(reader != nullptr,
                     NotImplemented,
                     "score: not exactly one layer reads the channels of ",
                     site.name);
      const bool known = std::ranges::any_of(
          readers, [&](const auto& one) { return one.parameter == reader->parameter; });
      if (!known) readers.push_back({reader->name, reader->parameter});
    }
    moments_->find(context.model, readers, context.inputs, context.notes);
    std::vector<std::vector<double>> scores;
    for (const Site& site : sites) scores.push_back(score(site, *only_reader(site)));
    return scores;
  }

 private:
  std::vector<double> score(const Site& site, const SitePart& reader) const {
    const InputMoments::Columns& inputs = moments_->of(reader.name);
    const Tensor weight = as_matrix(reader.parameter->value.value());
    const std::vector<int64_t> channel = channel_of_column(reader);
    std::vector<double> scores(static_cast<size_t>(site.units), 0.0);
    for (int64_t i = 0; i < weight.numel(); ++i) {
      const auto column = static_cast<size_t>(i % weight.size(1));
      if (channel[column] < 0) continue;
      const double w = weight.data<double>()[i];
      scores[static_cast<size_t>(channel[column])] += w * w * inputs.variance(column);
    }
    standardize(scores, site.alive());
    return scores;
  }

  std::shared_ptr<InputMoments> moments_;
};

}  // namespace

std::unique_ptr<Score> fluctuation_score(std::shared_ptr<InputMoments> moments) {
  return std::make_unique<FluctuationScore>(std::move(moments));
}

}  // namespace espalier::prune
