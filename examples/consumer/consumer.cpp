// SPDX-License-Identifier: Apache-2.0
// A program outside of Espalier's tree: trains a small network, removes 90 % of its weights on the
// way, saves it, loads it again. Fails (exit code 1) unless the mask survived.
#include <cstdio>

#include <espalier/espalier.h>

using namespace espalier;

int main() {
  const auto digits = data::subset(data::open_dataset("synth", data::Split::Train, ""), 256, 1);
  data::Loader batches(digits, {.batch_size = 64, .shuffle = true, .seed = 1});

  const nn::ModelOptions options{.width = 0.25};
  const auto model = nn::make_model("resnet20", options);
  nn::Sgd optimizer(*model, {.momentum = 0.9});
  const auto pruner = prune::make_pruner("magnitude", {.sparsity = prune::Sparsity(0.9)});
  nn::fit(*model, optimizer, nn::CosineLr(0.05), batches, {pruner.get()}, {.epochs = 1});
  nn::save_model("consumer.safetensors", "resnet20", options, *model);

  const nn::SavedModel again = nn::load_model("consumer.safetensors");
  const int64_t kept = pruner->updates().front().kept();
  const int64_t loaded = nn::count_model(*again.module, Shape{3, 32, 32}).total.weights_nonzero;
  std::printf("%ld weights kept, %ld loaded\n", static_cast<long>(kept), static_cast<long>(loaded));
  return kept == loaded ? 0 : 1;
}
