// SPDX-License-Identifier: Apache-2.0
/// Post-training pruning of a small language model that has learnt a made-up language.
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/models/transformer.h>
#include <espalier/nn/module/init.h>
#include <espalier/nn/train/adam.h>
#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/curvature/surgery.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::hessian_of;
using testing::Options;
using testing::prune_now;
using testing::quadratic_error;

constexpr int64_t kVocabulary = 16;
constexpr int64_t kContext = 24;

/// Text in which a token mostly follows from the two before it: (N, T + 1).
Tensor text(int64_t lines, uint64_t seed) {
  Rng rng(seed, "text");
  Tensor tokens = Tensor::empty({lines, kContext + 1}, DType::I64);
  int64_t* t = tokens.data<int64_t>();
  for (int64_t n = 0; n < lines; ++n) {
    int64_t* line = t + n * (kContext + 1);
    for (int64_t i = 0; i <= kContext; ++i) {
      const bool free = i < 2 || rng.below(8) == 0;
      line[i] = free ? static_cast<int64_t>(rng.below(kVocabulary))
                     : (3 * line[i - 2] + 1 + line[i - 1] / 8) % kVocabulary;
    }
  }
  return tokens;
}

/// `images` are the tokens, `labels` those one later, as one list.
data::Batch text_batch(int64_t lines, uint64_t seed) {
  const Tensor tokens = text(lines, seed);
  return {tokens.slice(1, 0, kContext).contiguous(),
          tokens.slice(1, 1, kContext + 1).contiguous().reshape({lines * kContext})};
}

Variable text_loss(nn::Module& model, const data::Batch& batch) {
  const Variable logits = model(Variable(batch.images));
  return cross_entropy(reshape(logits, {batch.labels.numel(), kVocabulary}), batch.labels);
}

std::unique_ptr<nn::Module> trained_gpt() {
  auto gpt = std::make_unique<nn::models::Gpt>(
      nn::models::TransformerSizes{.dim = 32, .depth = 2, .heads = 2, .hidden = 64},
      kVocabulary,
      kContext);
  nn::init_parameters(*gpt, 1);
  nn::Adam adam(*gpt, {.lr = 4e-3});
  for (uint64_t step = 0; step < 600; ++step) {
    gpt->zero_grad();
    text_loss(*gpt, text_batch(16, 100 + step)).backward();
    adam.step();
  }
  gpt->eval();
  return gpt;
}

double perplexity(nn::Module& model) {
  const NoGrad no_grad;
  return std::exp(text_loss(model, text_batch(256, 1)).item());
}

class SmallGpt : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { trained_ = trained_gpt(); }
  static void TearDownTestSuite() { trained_.reset(); }

  static PruneInputs calibration() {
    PruneInputs inputs{.seed = 4};
    inputs.batch = [](int64_t index) { return text_batch(64, 50 + static_cast<uint64_t>(index)); };
    return inputs;
  }

  static double pruned_perplexity(const std::string& name, Options given) {
    const auto copy = trained_->clone();
    if (name == "magnitude" && !given.contains("pattern")) given["allocation"] = "uniform";
    prune_now(name, given, *copy, calibration());
    return perplexity(*copy);
  }

  static std::unique_ptr<nn::Module> trained_;
};
std::unique_ptr<nn::Module> SmallGpt::trained_;

TEST_F(SmallGpt, HasLearntTheLanguage) {
  EXPECT_LT(perplexity(*trained_), 5.0);  // of 16; the free tokens leave about 2.3
}

TEST_F(SmallGpt, SparseGptHasLessErrorThanMagnitudeInEveryLayer) {
  const auto weights = prunable_weights(*trained_);
  EXPECT_EQ(weights.size(), 13U);  // 2 blocks of q, k, v, proj, fc1, fc2; and the head
  std::vector<Tensor> rows(weights.size());
  visit_layer_inputs(
      *trained_, weights, calibration().batch, 1, [&](size_t w, int64_t, const Tensor& x) {
        rows[w] = x.clone();
      });
  for (const UnitCell cell : {UnitCell{}, UnitCell{.keep = 2, .size = 4}}) {
    for (size_t w = 0; w < weights.size(); ++w) {
      const Tensor dense = as_matrix(weights[w].parameter->value.value());
      const Tensor h = hessian_of(rows[w]);
      const Surgery surgery = prune_columns(dense, h, {.cell = cell});
      // Uncorrelated inputs of one size: no compensation, and the mask is the magnitude's.
      Tensor identity = Tensor::zeros(h.shape(), DType::F64);
      for (int64_t i = 0; i < h.size(0); ++i) identity.data<double>()[i * (h.size(0) + 1)] = 1.0;
      const Surgery magnitude = prune_columns(dense, identity, {.cell = cell});
      EXPECT_LT(quadratic_error(dense, surgery.weight, h),
                quadratic_error(dense, magnitude.weight, h))
          << weights[w].name;
    }
  }
}

TEST_F(SmallGpt, SparseGptHasLessPerplexityThanWandaAndMagnitude) {
  for (const Options& given : {Options{{"sparsity", "0.5"}}, Options{{"pattern", "2:4"}}}) {
    const double magnitude = pruned_perplexity("magnitude", given);
    const double wanda = pruned_perplexity("wanda", given);
    const double sparsegpt = pruned_perplexity("sparsegpt", given);
    EXPECT_LT(sparsegpt, magnitude);
    EXPECT_LT(sparsegpt, wanda);
  }
}

TEST_F(SmallGpt, ExactObsHasLessErrorThanSparseGptOverAll) {
  const auto weights = prunable_weights(*trained_);
  std::vector<Tensor> rows(weights.size());
  visit_layer_inputs(
      *trained_, weights, calibration().batch, 1, [&](size_t w, int64_t, const Tensor& x) {
        rows[w] = x.clone();
      });
  for (const UnitCell cell : {UnitCell{}, UnitCell{.keep = 2, .size = 4}}) {
    double greedy = 0.0;
    double columns = 0.0;
    for (size_t w = 0; w < weights.size(); ++w) {
      const Tensor dense = as_matrix(weights[w].parameter->value.value());
      const Tensor h = hessian_of(rows[w]);
      greedy += quadratic_error(dense, prune_greedily(dense, h, {.cell = cell}).weight, h);
      columns += quadratic_error(dense, prune_columns(dense, h, {.cell = cell}).weight, h);
    }
    EXPECT_LT(greedy, columns);
  }
}

TEST_F(SmallGpt, ExactObsHasLessPerplexityThanWandaAndMagnitude) {
  for (const Options& given :
       {Options{{"sparsity", "0.5"}}, Options{{"pattern", "2:4"}}, Options{{"sparsity", "0.7"}}}) {
    const double exact = pruned_perplexity("exact-obs", given);
    EXPECT_LT(exact, pruned_perplexity("magnitude", given));
    EXPECT_LT(exact, pruned_perplexity("wanda", given));
  }
}

TEST_F(SmallGpt, OwlPrunesBlocksByTheirOutliers) {
  const auto copy = trained_->clone();
  prune_now("owl", {{"sparsity", "0.5"}, {"outlier", "3"}}, *copy, calibration());
  int64_t kept = 0;
  int64_t total = 0;
  std::set<double> densities;
  for (const nn::NamedParameter& one : prunable_weights(*copy)) {
    kept += one.parameter->nnz();
    total += one.parameter->numel();
    const auto density =
        static_cast<double>(one.parameter->nnz()) / static_cast<double>(one.parameter->numel());
    densities.insert(std::round(density * 50.0));
  }
  EXPECT_EQ(kept, kept_count(total, Sparsity(0.5)));
  EXPECT_GE(densities.size(), 2U);
  EXPECT_LE(densities.size(), 3U);  // two blocks and the head
}

TEST_F(SmallGpt, FlapsMeansHelpAndItsChannelsCanBeCutOut) {
  const auto copy = trained_->clone();
  const auto bare = trained_->clone();
  prune_now("flap", {{"sparsity", "0.4"}}, *copy, calibration());
  for (const nn::NamedParameter& one : copy->named_parameters()) {
    if (one.parameter->masked()) bare->parameter(one.name).set_mask(one.parameter->mask());
  }
  EXPECT_LT(perplexity(*copy), perplexity(*bare));
  const Tensor tokens = text_batch(4, 9).images;
  copy->eval();
  const auto before = (*copy)(Variable(tokens)).value().to_vector<double>();
  const int64_t weights = copy->parameter("blocks.0.fc1.weight").numel() +
                          copy->parameter("blocks.1.fc1.weight").numel();
  shrink(*copy, Variable(tokens.slice(0, 0, 1).contiguous()));
  EXPECT_LT(copy->parameter("blocks.0.fc1.weight").numel() +
                copy->parameter("blocks.1.fc1.weight").numel(),
            weights);
  const auto after = (*copy)(Variable(tokens)).value().to_vector<double>();
  for (size_t i = 0; i < after.size(); ++i) EXPECT_NEAR(after[i], before[i], 1e-4) << i;
}

}  // namespace
}  // namespace espalier::prune
