// SPDX-License-Identifier: Apache-2.0
// A skeleton to copy: how to add a pruning method. This one scores a weight by its magnitude
// relative to the mean of its layer, so that one global threshold is fair to layers of different
// scale. Run it, and it trains a small network, prunes half of its weights on the way and prints
// what is left.
//
// 1. Copy `RelativeMagnitude` to espalier/prune/scores/relative_magnitude.cpp, behind a factory
//    `std::unique_ptr<Score> relative_magnitude_score()` that is declared in
//    espalier/prune/scores/score.h.
// 2. Copy `relative_magnitude()` to espalier/prune/methods/during/relative_magnitude.cpp, into
// namespace
//    espalier::prune::method_list; its recipe calls the factory.
// 3. Add `ESPALIER_METHOD(relative_magnitude)` to espalier/prune/methods.inc; now `espalier train
// --prune
//    relative-magnitude`, `espalier methods`, and the property tests of espalier/prune/tests know
//    it.
#include <cmath>
#include <cstdio>
#include <memory>

#include <espalier/data/loader.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/patterns/pattern.h>

namespace {

using namespace espalier;

/// s = |w| / mean |w| of its layer.
class RelativeMagnitude : public prune::Score {
 public:
  std::vector<Tensor> compute(const prune::ScoreContext& context) override {
    std::vector<Tensor> scores;
    for (const prune::ScoredWeight& weight : context.weights) {
      Tensor score = prune::as_double(weight.parameter->value.value());
      double* s = score.data<double>();
      double sum = 0.0;
      for (int64_t i = 0; i < score.numel(); ++i) sum += s[i] = std::abs(s[i]);
      // Removed weights are zero: the mean is over those that are there.
      const double mean = sum / static_cast<double>(std::max<int64_t>(weight.parameter->nnz(), 1));
      for (int64_t i = 0; i < score.numel(); ++i) s[i] /= mean > 0.0 ? mean : 1.0;
      scores.push_back(score);
    }
    return scores;
  }
};

prune::Method relative_magnitude() {
  return {
      .name = "relative-magnitude",
      .title = "Magnitude relative to the layer's mean",
      .paper = "an example",
      .year = 2026,
      .speedup = prune::Speedup::Unstructured,
      .when = prune::When::During,
      .how = prune::How::Criterion,
      .one_shot = false,
      .global = true,
      .data_free = true,
      .idea = "One threshold for all layers is fair only when their weights have one scale.",
      .formula = "s = |w| / mean |w| of the layer",
      .schedule = "updates along a cubic between `begin` and `end`",
      .patterns = {"unstructured", "4x1", "2:4"},
      .options =
          {
              prune::real_option("begin", 0.1, 0.0, 1.0, "fraction of training", "first update"),
              prune::real_option("end", 0.6, 0.0, 1.0, "fraction of training", "last update"),
          },
      .recipe =
          [](const prune::OptionValues& options) {
            prune::Recipe recipe;
            recipe.score = std::make_unique<RelativeMagnitude>();
            recipe.allocation = prune::global_allocation();
            recipe.schedule = prune::cubic_schedule(
                {.begin = options.real("begin"), .end = options.real("end"), .frequency = 1});
            return recipe;
          },
  };
}

}  // namespace

int main() {
  nn::Sequential net(nn::Flatten(),
                     nn::Linear({.in = 3 * 32 * 32, .out = 32}),
                     nn::ReLU(),
                     nn::Linear({.in = 32, .out = 10}));
  data::Loader loader(data::subset(data::open_dataset("synth", data::Split::Train, ""), 640, 0),
                      {.batch_size = 64, .shuffle = true});

  // What `make_pruner` does for registered methods.
  const prune::Method method = relative_magnitude();
  prune::PruneSettings settings = prune::parse_settings(method, {{"sparsity", "0.5"}});
  prune::MaskPruner pruner(method.recipe(prune::OptionValues(method.name, method.options)),
                           prune::make_pattern("unstructured"),
                           settings,
                           {});
  pruner.on_update = [](const prune::UpdateReport& report) {
    std::printf("step %2lld: sparsity %.4f\n",
                static_cast<long long>(report.step),
                report.sparsity().value());
  };
  nn::Sgd sgd(net, {.lr = 0.01, .momentum = 0.9});
  nn::fit(net, sgd, nn::ConstantLr(0.01), loader, {&pruner}, {.epochs = 1});

  const prune::UpdateReport& last = pruner.updates().back();
  for (const prune::LayerReport& layer : last.layers) {
    std::printf("%s keeps %lld of %lld weights\n",
                layer.name.c_str(),
                static_cast<long long>(layer.kept),
                static_cast<long long>(layer.total));
  }
  return last.kept() == prune::kept_count(last.total(), prune::Sparsity(0.5)) ? 0 : 1;
}
