// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include <espalier/espalier.h>

using namespace espalier;

int main() {
  const auto digits = data::subset(data::open_dataset("synth", data::Split::Train, ""), 5000, 1);
  data::Loader train(digits, {.batch_size = 50, .shuffle = true, .seed = 1});
  data::Loader test(data::open_dataset("synth", data::Split::Test, ""), {.batch_size = 100});

  const nn::ModelOptions half{.width = 0.5};
  const auto model = nn::make_model("resnet20", half);
  nn::Sgd sgd(*model, {.momentum = 0.9, .nesterov = true}, 5e-4);

  // A pruning method is a hook of the training loop; masked layers run on sparse kernels.
  const auto pruner = prune::make_pruner("gmp", {.sparsity = prune::Sparsity(0.9)});
  nn::fit(*model, sgd, nn::OneCycleLr({.peak = 0.1}), train, {pruner.get()}, {.epochs = 4});

  std::printf("%.1f %% of the test images right, %.1f %% of the weights removed\n",
              100.0 * nn::evaluate(*model, test).accuracy(),
              100.0 * nn::count_model(*model, Shape{3, 32, 32}).sparsity());
  nn::save_model("first_network.safetensors", "resnet20", half, *model);
}
