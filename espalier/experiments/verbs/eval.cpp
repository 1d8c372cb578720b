// SPDX-License-Identifier: Apache-2.0
/// `espalier eval`: accuracy, size, cost and speed of a network with given weights.
#include <memory>
#include <optional>
#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/parallel.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/inputs/masks.h>
#include <espalier/experiments/run/outputs.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

struct EvalFlags {
  GivenOptions given;
  bool json = false;
};

enum class Split : uint8_t { Test, Train };

struct EvalSettings {
  NetworkSettings network = {};
  DataSettings data = {};
  int64_t test_size = 0;
  std::string weights = {};
  Split split = Split::Test;
  int64_t batch = 256;
  bool masks_from_zeros = false;
  bool compiled = false;
  std::string plan = {};
  nn::PlanWeights plan_weights = nn::PlanWeights::Float32;
  Normalization normalization = {};
  MachineSettings machine = {};
  KernelSettings kernels = {};
};

const OptionTable<EvalSettings>& own_table() {
  using S = EvalSettings;
  static const OptionTable<S> table = {
      {&S::weights, "weights", "the weights: safetensors, ours or in PyTorch's names, or .edc"},
      {&S::split, "split", {"test", "train"}, "the part of the data set"},
      OptionEntry<S>(&S::test_size, "test-size", {0, 1e9}, "", kTestSizeHelp)
          .needing("split", {"test"}),
      {&S::batch, "batch", {1, 65536}, "", "samples at once"},
      {&S::masks_from_zeros, "masks-from-zeros", kMasksFromZerosHelp},
      {&S::compiled, "compiled", "run as an inference plan: batch norm folded, steps fused"},
      OptionEntry<S>(&S::plan, "plan", "write the plan to this file").needing("compiled", {"true"}),
      OptionEntry<S>(&S::plan_weights, "plan-weights", {"float32", "bfloat16"}, kPlanWeightsHelp)
          .needing("compiled", {"true"}),
  };
  return table;
}

const OptionTable<EvalSettings>& eval_table() {
  using S = EvalSettings;
  static const OptionTable<S> table = OptionTable<S>(own_table())
                                          .include(&S::network, network_table())
                                          .include(&S::data, data_table())
                                          .include(&S::normalization, normalization_table())
                                          .include(&S::machine, machine_table())
                                          .include(&S::kernels, kernel_table());
  return table;
}

void eval(const EvalFlags& flags, Console& console) {
  const EvalSettings settings = eval_table().read("eval", flags.given.given());
  const std::string& weights = settings.weights;
  ESPALIER_CHECK(!weights.empty(), ValueError, "eval: needs --weights FILE");
  check_outputs("eval",
                {{"--plan", settings.plan, FileKind::Plan}},
                {weights, settings.kernels.kernel_times});
  set_num_threads(static_cast<int>(settings.machine.threads));
  set_kernel_chooser(settings.kernels);
  const bool test = settings.split == Split::Test;
  const auto dataset =
      open_split(settings.data, test ? data::Split::Test : data::Split::Train, settings.test_size);
  tell_notes({dataset.get()}, console);
  const data::LoaderOptions options =
      evaluation_loader(settings.normalization, settings.machine.workers, settings.batch);
  Network network =
      load_network(weights, make_network(settings.network, settings.data.other_classes, *dataset));
  check_asked_network(
      "eval", asked_of_network(settings.network, flags.given.names()), network, weights);
  tell(heed_zeros(weights, network, settings.masks_from_zeros), console);
  data::Loader loader(dataset, options);
  std::optional<nn::InferencePlan> plan;
  if (settings.compiled) {
    plan = compile_network(network, settings.batch, nn::PlanFormat::Auto, settings.plan_weights);
    if (!flags.json) console.out << plan->describe() << '\n';
  }
  // With the figures, for a file of weights doesn't say which data they are for.
  const std::string& data = settings.data.data;
  const std::string split = test ? "test" : "train";
  nlohmann::ordered_json figures = {{"data", data}, {"split", split}};
  figures.update(while_running([&] { return measure(network, loader, plan ? &*plan : nullptr); }));
  // Only now: a network whose evaluation fails leaves the plan that was there.
  if (plan && !settings.plan.empty()) {
    while_writing([&] { plan->save(settings.plan); });
  }
  console.out << (flags.json ? figures.dump(2) + "\n"
                             : fmt::format("data        {}, {} split\n", data, split) +
                                   figures_text(figures));
}

}  // namespace

void add_eval(const Verb& app, Console& console, Action& action) {
  const Verb verb =
      app.add_verb("eval", "Accuracy, size, cost and speed of a network with given weights.");
  const auto flags = std::make_shared<EvalFlags>();
  flags->given.declare(verb, own_table().options(), "Evaluation");
  flags->given.declare(verb, normalization_table().options(), "Evaluation");
  flags->given.declare(verb, network_table().options(), "Network (files of ours tell it)");
  flags->given.declare(verb, data_table().options(), "Data");
  flags->given.declare(verb, machine_table().options(), "Machine");
  flags->given.declare(verb, kernel_table().options(), "Machine");
  show_required(verb, "weights");
  verb.add_flag("--json", flags->json, "print the figures as JSON");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { eval(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
