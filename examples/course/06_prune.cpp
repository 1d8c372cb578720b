// SPDX-License-Identifier: Apache-2.0
// Chapter 6 of the course (docs/06_prune.md): train, prune 80 % with a method of the registry, and
// train what is left.
#include <espalier/data/loader.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/train/fit.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/drive/registry.h>
#include <espalier/prune/ground/select.h>
#include "facts.h"

using namespace espalier;

namespace {

/// Removed weights that are not zero, or whose momentum is not.
int64_t disturbed(nn::Module& model, nn::Optimizer& optimizer) {
  int64_t count = 0;
  for (const nn::NamedParameter& p : nn::prunable_parameters(model)) {
    if (!p.parameter->masked()) continue;
    const std::vector<float> value = p.parameter->value.value().to_vector<float>();
    const std::vector<uint8_t> mask = p.parameter->mask().to_vector<uint8_t>();
    const std::vector<float> momentum =
        optimizer.slots(p.name).at("momentum_buffer").to_vector<float>();
    for (size_t i = 0; i < mask.size(); ++i) {
      count += mask[i] == 0 && (value[i] != 0.0f || momentum[i] != 0.0f);
    }
  }
  return count;
}

}  // namespace

int main() {
  course::Facts facts;
  const auto train = data::subset(data::open_dataset("synth", data::Split::Train, ""), 2000, 1);
  const auto test = data::subset(data::open_dataset("synth", data::Split::Test, ""), 500, 1);
  data::Loader train_batches(train, {.batch_size = 50, .shuffle = true, .seed = 1});
  data::Loader test_batches(test, {.batch_size = 100});
  const auto model = nn::make_model("resnet20", {.width = 0.5});
  const auto accuracy = [&] { return nn::evaluate(*model, test_batches).accuracy(); };

  std::puts("1. Train");
  nn::Sgd optimizer(*model, {.momentum = 0.9, .nesterov = true}, 5e-4);
  nn::fit(*model, optimizer, nn::OneCycleLr({.peak = 0.1}), train_batches, {}, {.epochs = 4});
  const double dense = accuracy();
  std::printf("  dense: %.1f %% right\n", 100.0 * dense);

  std::puts("2. Prune 80 % by magnitude and train what is left");
  const auto pruner = prune::make_pruner("magnitude", {.sparsity = prune::Sparsity(0.8)});
  double just_pruned = 0.0;
  pruner->on_update = [&](const prune::UpdateReport& update) {
    just_pruned = accuracy();
    std::printf("  %ld of %ld weights kept: %.1f %% right\n",
                static_cast<long>(update.kept()),
                static_cast<long>(update.total()),
                100.0 * just_pruned);
  };
  nn::Sgd again(*model, {.momentum = 0.9, .nesterov = true}, 5e-4);
  nn::fit(*model, again, nn::CosineLr(0.05), train_batches, {pruner.get()}, {.epochs = 3});
  const double retrained = accuracy();
  std::printf("  retrained: %.1f %% right\n", 100.0 * retrained);

  facts.check(pruner->updates().size() == 1, "one-shot: one mask update");
  const prune::UpdateReport& update = pruner->updates().front();
  facts.check(update.kept() == prune::kept_count(update.total(), prune::Sparsity(0.8)),
              "exactly a fifth is kept, to the weight");
  facts.check(nn::count_model(*model, Shape{3, 32, 32}).total.weights_nonzero <= update.kept(),
              "and 120 steps later nothing has grown back");
  facts.check(disturbed(*model, again) == 0, "removed weights and their momentum are zero");
  facts.check(just_pruned < dense, "pruning alone cost accuracy");
  facts.check(retrained > just_pruned, "retraining won it back");
  facts.check(retrained > 0.5, "and the sparse network knows more than half of the digits");

  std::puts("3. Layers, as the global threshold left them");
  for (const prune::LayerReport& layer : update.layers) {
    std::printf(
        "  %-24s keeps %5.1f %%\n", layer.name.c_str(), 100.0 * layer.sparsity().density().value());
  }
  return facts.exit_code();
}
