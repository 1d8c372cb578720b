// SPDX-License-Identifier: Apache-2.0
/// Scores that are summed over filters which batch norm makes free of scale: what GraSP's sum then
/// is, that it is told, and that no other score falls for it untold.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/scores/balanced_samples.h>
#include <espalier/prune/scores/gradients.h>
#include <espalier/prune/scores/scale_free.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/update/mask_update.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

const Shape kImage = {3, 8, 8};

/// The tiny convolutional network; eps of its norms so small that a filter's scale has
/// no effect under the batch's statistics. Statistics as after some training.
std::unique_ptr<nn::Sequential> network() {
  auto net = std::make_unique<nn::Sequential>();
  const auto conv = [](int64_t in, int64_t out) {
    return nn::Conv2d(
        {.in_channels = in, .out_channels = out, .kernel = 3, .padding = 1, .bias = false});
  };
  net->add(conv(3, 8));
  net->add(nn::BatchNorm2d({.channels = 8, .eps = 1e-12}));
  net->add(nn::ReLU());
  net->add(conv(8, 16));
  net->add(nn::BatchNorm2d({.channels = 16, .eps = 1e-12}));
  net->add(nn::ReLU());
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 16 * 64, .out = 3}));
  testing::randomize(*net, 3);
  Rng rng(8, "statistics");
  for (const nn::NamedBuffer& one : net->named_buffers()) {
    if (one.name.ends_with("mean")) fill_uniform_(*one.buffer, rng, -0.3, 0.3);
    if (one.name.ends_with("var")) fill_uniform_(*one.buffer, rng, 0.5, 1.5);
  }
  return net;
}

PruneInputs twelve_images() {
  Tensor images = Tensor::empty({12, 3, 8, 8});
  Rng rng(6, "images");
  fill_normal_(images, rng, 0.0, 1.0);
  const Tensor labels = Tensor::from<int64_t>({12}, {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2});
  return {.batch =
              [images, labels](int64_t) {
                return data::Batch{images, labels};
              },
          .single_batch = true,
          .input_shape = kImage};
}

/// |g|^2 of every filter of a weight, g the gradient of both halves' losses at temperature 200,
/// under the batch's statistics.
std::vector<double> squared_gradients(const std::string& name) {
  const auto exact = network();
  nn::Module& net = *exact;
  net.to(DType::F64);
  PruneInputs softened = twelve_images();
  softened.loss = [](const Variable& logits, const Tensor& labels) {
    return cross_entropy(mul(logits, 1.0 / 200.0), labels);
  };
  const std::vector<nn::NamedParameter> weights = {{name, &net.parameter(name)}};
  Rng rng(1);
  const ScoreContext context{net, weights, softened, rng};
  std::vector<double> g(static_cast<size_t>(weights[0].parameter->numel()), 0.0);
  const data::Batch batch = softened.batch(0);
  for (const data::Batch& half : halves_of({batch.images.to(DType::F64), batch.labels})) {
    const Tensor one = dense_gradients(context, half, ScoringMode::Train)[0];
    for (size_t i = 0; i < g.size(); ++i) g[i] += one.data<double>()[i];
  }
  std::vector<double> squares(static_cast<size_t>(weights[0].parameter->shape()[0]), 0.0);
  for (size_t i = 0; i < g.size(); ++i) squares[i / (g.size() / squares.size())] += g[i] * g[i];
  return squares;
}

/// The score of a method's last mask update; null: none.
std::shared_ptr<Score> score_of(const Timeline& timeline) {
  const std::optional<UpdateParts> update = last_update_of(timeline);
  return update ? update->score : nullptr;
}

/// True if all that the method does are mask updates by a score of the weights as they are.
bool makes_weight_scores(const Method& method) {
  const Timeline timeline = choose_method(method, OptionTexts()).timeline();
  return score_of(timeline) && std::ranges::all_of(timeline.events, [](const Event& event) {
           return event.moments != nullptr;
         });
}

struct Scored {
  std::map<std::string, std::vector<double>> of_units;  // by site, the paper's sign
  std::vector<std::string> notes;
};

Scored score_of(const Method& chosen,
                const std::string& pattern,
                const std::map<std::string, std::string>& options) {
  auto net = network();
  const PruneSettings settings = {.pattern = pattern};
  const PruneInputs inputs = twelve_images();
  OptionTexts given = options;
  given["pattern"] = pattern;
  const auto score = score_of(choose_method(chosen, given).timeline());
  // A training that began elsewhere, for scores that look back at it.
  const auto before = network();
  Rng rng(1);
  for (const nn::NamedParameter& one : before->named_parameters()) {
    Tensor noise = Tensor::empty(one.parameter->shape());
    fill_normal_(noise, rng, 0.0, 0.1);
    one.parameter->value.value().copy_((one.parameter->value + Variable(noise)).value());
  }
  nn::Sgd sgd(*before, {.lr = 0.1});
  nn::TrainState state{.model = *before, .optimizer = sgd};
  score->observe(state);
  MaskUpdate update(*net, make_pattern(pattern), settings, inputs, {});
  const NoGrad no_grad;
  const auto scores = update.scores(*score, rng);
  const double sign = score->keep() == Keep::Smallest ? -1.0 : 1.0;
  Scored result;
  for (size_t s = 0; s < scores.size(); ++s) {
    std::vector<double>& of_site = result.of_units[update.sites()[s].name];
    for (const double one : scores[s]) of_site.push_back(sign * one);
  }
  result.notes = update.report().notes;
  return result;
}

bool tells(const Scored& scored, const std::string& text) {
  return std::ranges::any_of(
      scored.notes, [&](const std::string& note) { return note.find(text) != std::string::npos; });
}

/// Proportional to |g|^2, or zero but for rounding, in every filter.
bool is_fixed(const std::vector<double>& scores, const std::vector<double>& squares) {
  double largest = 0.0;
  for (const double one : scores) largest = std::max(largest, std::abs(one));
  if (largest < 1e-14) return true;
  const double factor = scores[0] / squares[0];
  for (size_t u = 0; u < scores.size(); ++u) {
    if (std::abs(scores[u] - factor * squares[u]) > 1e-6 * largest) return false;
  }
  return true;
}

TEST(ScaleFree, UnderTheBatchsStatisticsGraspsSumOverAFilterIsItsSquaredGradient) {
  const Scored train = score_of(method("grasp"), "filter", {{"scoring-mode", "train"}});
  for (const char* name : {"0.weight", "3.weight"}) {
    const std::vector<double> squares = squared_gradients(name);
    const std::vector<double>& sums = train.of_units.at(name);
    ASSERT_EQ(sums.size(), squares.size());
    for (size_t u = 0; u < sums.size(); ++u) {
      EXPECT_NEAR(sums[u] / squares[u], 1.0, 1e-6) << name << " " << u;
    }
  }
  EXPECT_TRUE(tells(train, "2 of 2 layers (0.weight, 3.weight)"));
  EXPECT_TRUE(tells(train, "scoring-mode eval"));
}

TEST(ScaleFree, GraspScoresFiltersWithRunningStatisticsUnlessTold) {
  for (const char* pattern : {"filter", "channel"}) {
    const Scored automatic = score_of(method("grasp"), pattern, {});
    const Scored eval = score_of(method("grasp"), pattern, {{"scoring-mode", "eval"}});
    EXPECT_EQ(automatic.of_units, eval.of_units) << pattern;
    EXPECT_TRUE(tells(automatic, "scored with batch norm's running statistics")) << pattern;
    EXPECT_FALSE(tells(eval, "rescaled")) << pattern;
  }
}

TEST(ScaleFree, GraspScoresSingleWeightsAndPartsOfFiltersUnderTheBatchsStatistics) {
  for (const char* pattern : {"unstructured", "4x1", "kernel"}) {
    const Scored automatic = score_of(method("grasp"), pattern, {});
    const Scored train = score_of(method("grasp"), pattern, {{"scoring-mode", "train"}});
    EXPECT_EQ(automatic.of_units, train.of_units) << pattern;
    EXPECT_FALSE(tells(automatic, "rescaled")) << pattern;
  }
}

TEST(ScaleFree, WithoutNormsGraspKeepsTheBatchsStatistics) {
  auto net = testing::tiny_mlp();
  const PruneInputs inputs = twelve_images();
  const PruneSettings settings = {.pattern = "filter"};
  MaskUpdate update(*net, make_pattern("filter"), settings, inputs, {});
  Rng rng(1);
  const NoGrad no_grad;
  update.scores(*grasp_score({}), rng);
  for (const std::string& note : update.report().notes) {
    EXPECT_EQ(note.find("rescaled"), std::string::npos) << note;
  }
}

/// w dL/dw with its sign, under the batch's statistics: what no score should be summed from.
class SignedSnip : public Score {
 public:
  std::vector<Tensor> compute(const ScoreContext& context) override {
    auto scores = dense_gradients(context, scoring_batch(context, 0), ScoringMode::Train);
    for (size_t w = 0; w < scores.size(); ++w) {
      const Tensor weight = as_double(context.weights[w].parameter->value.value());
      for (int64_t i = 0; i < weight.numel(); ++i) {
        scores[w].data<double>()[i] *= weight.data<double>()[i];
      }
    }
    return scores;
  }
};

TEST(ScaleFree, SumsThatCancelAreToldOfAnyScore) {
  auto net = network();
  const PruneInputs inputs = twelve_images();
  const PruneSettings settings = {.pattern = "filter"};
  MaskUpdate update(*net, make_pattern("filter"), settings, inputs, {});
  Rng rng(1);
  const NoGrad no_grad;
  SignedSnip score;
  update.scores(score, rng);
  const Scored scored = {{}, update.report().notes};
  EXPECT_TRUE(tells(scored, "add up to zero in 2 of 2 layers (0.weight, 3.weight)"));
}

/// Every score of the registry with every pattern of whole filters, in each of its modes: fixed by
/// the filters' scale exactly where a note says so, and nowhere by default.
TEST(ScaleFree, NoScoreOfTheRegistryIsFixedByScaleUntold) {
  std::map<std::string, std::vector<double>> squares;
  for (const char* name : {"0.weight", "3.weight"}) squares[name] = squared_gradients(name);
  int scores = 0;
  for (const Method& chosen : methods()) {
    if (!makes_weight_scores(chosen)) continue;
    std::vector<std::map<std::string, std::string>> modes = {{}};
    for (const Option& option : chosen.options) {
      if (option.name != "scoring-mode") continue;
      for (const std::string& mode : option.choices) modes.push_back({{option.name, mode}});
    }
    for (const char* pattern : {"filter", "channel"}) {
      if (std::ranges::find(chosen.patterns, pattern) == chosen.patterns.end()) continue;
      for (const auto& options : modes) {
        const Scored scored = score_of(chosen, pattern, options);
        bool fixed = false;
        for (const auto& [site, of_units] : scored.of_units) {
          fixed = fixed || is_fixed(of_units, squares.at(site));
        }
        const bool told = tells(scored, "squared gradients, and") || tells(scored, "add up to");
        const std::string mode = options.empty() ? "" : options.begin()->second;
        EXPECT_EQ(fixed, told) << chosen.name << " " << pattern << " " << mode;
        EXPECT_FALSE(fixed && options.empty()) << chosen.name << " " << pattern;
        ++scores;
      }
    }
  }
  EXPECT_GT(scores, 20);
}

}  // namespace
}  // namespace espalier::prune
