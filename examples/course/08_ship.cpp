// SPDX-License-Identifier: Apache-2.0
// Chapter 8 of the course (docs/08_ship.md): measure a pruned network, save it, compile it, and
// load both again.
#include <chrono>
#include <filesystem>
#include <random>

#include <espalier/data/loader.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/introspect/explain.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/train/fit.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/drive/registry.h>
#include "facts.h"

using namespace espalier;

namespace {

/// An empty folder that is removed again, whatever happens.
class ScratchFolder {
 public:
  ScratchFolder()
      : path(std::filesystem::temp_directory_path() /
             ("espalier_course_" + std::to_string(std::random_device{}()))) {
    std::filesystem::create_directories(path);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  const std::filesystem::path path;
};

Tensor logits(nn::Module& model, const Tensor& images) {
  const nn::EvalScope eval(model);
  const NoGrad no_grad;
  return model(Variable(images)).value();
}

/// The best of five runs, in milliseconds.
template <class F>
double milliseconds(F run) {
  double best = HUGE_VAL;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  return best;
}

}  // namespace

int main() {
  course::Facts facts;
  const auto train = data::subset(data::open_dataset("synth", data::Split::Train, ""), 2000, 1);
  const auto test = data::subset(data::open_dataset("synth", data::Split::Test, ""), 500, 1);
  data::Loader train_batches(train, {.batch_size = 50, .shuffle = true, .seed = 1});
  data::Loader test_batches(test, {.batch_size = 100});
  const nn::ModelOptions options{.width = 0.5};
  const auto model = nn::make_model("resnet20", options);
  nn::Sgd optimizer(*model, {.momentum = 0.9, .nesterov = true}, 5e-4);
  prune::PruneSettings settings{.sparsity = prune::Sparsity(0.9)};
  settings.options["frequency"] = "10";
  const auto pruner = prune::make_pruner("gmp", settings);
  nn::fit(*model,
          optimizer,
          nn::OneCycleLr({.peak = 0.1}),
          train_batches,
          {pruner.get()},
          {.epochs = 4});

  std::puts("1. Measure");
  test_batches.start_epoch(0);
  const Tensor images = test_batches.next()->images;
  const nn::Evaluation result = nn::evaluate(*model, test_batches);
  const nn::ModelCount count = nn::count_model(*model, Variable(images));
  std::printf("  %.1f %% right, %.1f %% of the weights removed\n",
              100.0 * result.accuracy(),
              100.0 * count.sparsity());
  std::printf("  MACs an image: dense %ld, effective %ld, executed %ld\n",
              static_cast<long>(count.total.macs_dense),
              static_cast<long>(count.total.macs_effective),
              static_cast<long>(count.total.macs_executed));
  facts.check(std::abs(count.sparsity() - 0.9) < 0.001, "nine tenths of the weights are gone");
  facts.check(count.total.macs_effective <= count.total.macs_executed,
              "no kernel did less than what the weights ask for");
  facts.check(count.total.macs_executed < count.total.macs_dense / 4,
              "and the kernels really left out most of the work");
  for (const nn::LayerExplanation& layer : nn::explain(*model, Variable(images))) {
    std::printf("  %-16s %5.1f %% kept  %-6s %s\n",
                layer.name.c_str(),
                100.0 * layer.density,
                layer.forward.choice.sparse ? "sparse" : "dense",
                layer.forward.choice.reason.c_str());
  }

  std::puts("2. Save and load the network");
  const ScratchFolder folder;
  nn::save_model(folder.path / "model.safetensors", "resnet20", options, *model);
  const nn::SavedModel loaded = nn::load_model(folder.path / "model.safetensors");
  const Tensor expected = logits(*model, images);
  facts.check(loaded.name == "resnet20", "the file knows what it holds");
  facts.check(course::largest_difference(logits(*loaded.module, images), expected) == 0.0,
              "the loaded network gives the same bits");
  facts.check(loaded.module->parameter("layer1.0.conv1.weight").masked(), "and has its masks");

  std::puts("3. Compile, save and load the plan");
  const nn::InferencePlan plan = nn::compile(*model, Variable(images));
  const nn::InferencePlan dense =
      nn::compile(*model, Variable(images), {.format = nn::PlanFormat::Dense});
  facts.check(course::largest_difference(plan.run(images), expected) < 1e-3,
              "the plan computes what the network does, with batch norm folded into weights");
  plan.save(folder.path / "sparse.plan");
  const nn::InferencePlan again = nn::InferencePlan::load(folder.path / "sparse.plan");
  facts.check(course::largest_difference(again.run(images), plan.run(images)) == 0.0,
              "a loaded plan gives the same bits");
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(folder.path / "sparse.plan"));
  std::printf("  the file has %ld bytes, all parameters in float32 have %ld\n",
              static_cast<long>(bytes),
              static_cast<long>(4 * count.total.params));
  facts.check(bytes < count.total.params, "removed weights take no room: less than a quarter");
  facts.check(plan.macs() < dense.macs() / 4, "nor time: the plan's MACs are a fraction");

  Tensor out = Tensor::empty({images.size(0), 10});
  std::printf("  100 images here and now: network %.2f ms, dense plan %.2f ms, plan %.2f ms\n",
              milliseconds([&] { logits(*model, images); }),
              milliseconds([&] { dense.run(images, out); }),
              milliseconds([&] { plan.run(images, out); }));
  return facts.exit_code();
}
