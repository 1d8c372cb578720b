// SPDX-License-Identifier: Apache-2.0
// A skeleton to copy: how to add a pruning method. This one scores a weight by its magnitude
// relative to the mean of its layer, so that one global threshold is fair to layers of different
// scale. Run it, and it trains a small network, prunes half of its weights on the way and prints
// what is left.
//
// To make it part of the library:
// 1. `RelativeMagnitude` goes to prune/scores/relative_magnitude.cpp below espalier/, behind a
//    factory `std::unique_ptr<Score> relative_magnitude_score()` that prune/scores/score.h
//    declares.
// 2. `relative_magnitude()` goes to prune/methods/during/relative_magnitude.cpp, into namespace
//    espalier::prune::method_list; its timeline calls the factory.
// 3. A line `ESPALIER_METHOD(relative_magnitude)` goes to prune/methods.inc; now `espalier train
//    --prune relative-magnitude`, `espalier methods` and the property tests of prune/tests know it.
#include <cmath>
#include <cstdio>
#include <memory>

#include <espalier/core/plugin.h>
#include <espalier/data/loader.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/drive/registry.h>
#include <espalier/prune/schedules/schedule.h>
#include <espalier/prune/update/update.h>

namespace {

using namespace espalier;

/// s = |w| / mean |w| of its layer.
class RelativeMagnitude : public prune::Score {
 public:
  std::vector<Tensor> compute(const prune::ScoreContext& context) override {
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) {
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

/// Its hyper-parameters, with their defaults.
struct RelativeMagnitudeOptions {
  double begin = 0.1;
  double end = 0.6;
};

prune::Method relative_magnitude() {
  return prune::make_method<RelativeMagnitudeOptions>(
      {.name = "relative-magnitude",
       .title = "Magnitude relative to the layer's mean",
       .paper = "an example",
       .year = 2026,
       .when = prune::When::During,
       .idea = "One threshold for all layers is fair only when their weights have one scale.",
       .formula = "s = |w| / mean |w| of the layer",
       .schedule = "updates along a cubic between `begin` and `end`",
       .use_when = "Layers differ in scale, and one threshold shall be fair to all.",
       .not_when = "Layers are alike: magnitudes themselves can be compared.",
       .patterns = {"unstructured", "4x1", "2:4"}},
      {{&RelativeMagnitudeOptions::begin, "begin", {0, 1}, "fraction of training", "first update"},
       {&RelativeMagnitudeOptions::end, "end", {0, 1}, "fraction of training", "last update"}},
      [](const RelativeMagnitudeOptions& o, const prune::PruneSettings&) -> prune::Timeline {
        return {{prune::at(prune::cubic_schedule({.begin = o.begin, .end = o.end, .frequency = 1}),
                           prune::mask_update({.score = std::make_shared<RelativeMagnitude>(),
                                               .allocation = prune::global_allocation()}))}};
      });
}

}  // namespace

// Built as a shared object, it is a plugin: `espalier --plugin method.so train --prune
// relative-magnitude`.
ESPALIER_PLUGIN {
  prune::register_method(relative_magnitude());
}

int main() {
  nn::Sequential net(nn::Flatten(),
                     nn::Linear({.in = 3 * 32 * 32, .out = 32}),
                     nn::ReLU(),
                     nn::Linear({.in = 32, .out = 10}));
  data::Loader loader(data::subset(data::open_dataset("synth", data::Split::Train, ""), 640, 0),
                      {.batch_size = 64, .shuffle = true});

  // From here on the method is one of all: in help texts, and for whoever asks by name.
  prune::register_method(relative_magnitude());
  const auto pruner = prune::make_pruner("relative-magnitude", {.sparsity = prune::Sparsity(0.5)});
  pruner->on_update = [](const prune::UpdateReport& report) {
    std::printf("step %2lld: sparsity %.4f\n",
                static_cast<long long>(report.step),
                report.sparsity().value());
  };
  nn::Sgd sgd(net, {.lr = 0.01, .momentum = 0.9});
  nn::fit(net, sgd, nn::ConstantLr(0.01), loader, {pruner.get()}, {.epochs = 1});

  const prune::UpdateReport& last = pruner->updates().back();
  for (const prune::LayerReport& layer : last.layers) {
    std::printf("%s keeps %lld of %lld weights\n",
                layer.name.c_str(),
                static_cast<long long>(layer.kept),
                static_cast<long long>(layer.total));
  }
  return last.kept() == prune::kept_count(last.total(), prune::Sparsity(0.5)) ? 0 : 1;
}
