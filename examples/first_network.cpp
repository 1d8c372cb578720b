// SPDX-License-Identifier: Apache-2.0
// A first program: train a small network on the embedded digits, remove 80 % of its weights on the
// way, and see what is left. Runs in seconds: build/release/bin/first_network
#include <cstdio>

#include <espalier/espalier.h>

using namespace espalier;

int main() {
  const auto train = data::subset(data::open_dataset("synth", data::Split::Train, ""), 2000, 1);
  const auto test = data::subset(data::open_dataset("synth", data::Split::Test, ""), 500, 1);
  data::Loader train_batches(train, {.batch_size = 50, .shuffle = true, .seed = 1});
  data::Loader test_batches(test, {.batch_size = 100});

  const auto model = nn::make_model("resnet20", {.width = 0.5});
  nn::Sgd optimizer(*model, {.momentum = 0.9, .nesterov = true}, 5e-4);

  // Gradual magnitude pruning (arXiv 1710.01878) is a hook of the one training loop.
  prune::PruneSettings settings{.sparsity = prune::Sparsity(0.8)};
  settings.options["frequency"] = "10";
  const auto pruner = prune::make_pruner("gmp", settings);
  pruner->on_update = [](const prune::UpdateReport& update) {
    std::printf("step %3ld: %.1f %% of the weights removed\n",
                static_cast<long>(update.step),
                100.0 * update.sparsity().value());
  };

  nn::fit(*model,
          optimizer,
          nn::OneCycleLr({.peak = 0.1}),
          train_batches,
          {pruner.get()},
          {.epochs = 3});

  const nn::Evaluation result = nn::evaluate(*model, test_batches);
  std::printf("%ld of %ld test images right\n%s",
              static_cast<long>(result.correct),
              static_cast<long>(result.total),
              model->summary({3, 32, 32}).c_str());
}
