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
#include <espalier/experiments/run/outputs.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/needs.h>
#include <espalier/experiments/settings/options.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

struct EvalFlags {
  GivenOptions given;
  bool json = false;
};

std::vector<Option> eval_only_options() {
  return {
      text_option("weights", "", "The weights: safetensors, ours or in PyTorch's names, or .edc."),
      choice_option("split", {"test", "train"}, "The part of the data set."),
      integer_option("batch", 256, 1, 65536, "samples", "Samples at once."),
      masks_from_zeros_option(),
      flag_option("compiled", "Run as an inference plan: batch norm folded, steps fused."),
      text_option("plan", "", "With --compiled: write the plan to this file."),
  };
}

std::vector<Option> eval_options() {
  std::vector<Option> out;
  for (const auto& list : {model_options(),
                           data_options(),
                           eval_only_options(),
                           normalization_options(),
                           machine_options(),
                           kernel_options()}) {
    out.insert(out.end(), list.begin(), list.end());
  }
  return out;
}

void eval(const EvalFlags& flags, Console& console) {
  const OptionValues values("eval", eval_options(), flags.given.given());
  ESPALIER_CHECK(!values.text("weights").empty(), ValueError, "eval: needs --weights FILE");
  ESPALIER_CHECK(values.text("plan").empty() || values.flag("compiled"),
                 ValueError,
                 "eval: --plan writes a compiled network; give --compiled too");
  check_outputs("eval",
                {{"--plan", values.text("plan"), FileKind::Plan}},
                {values.text("weights"), values.text("kernel-times")});
  check_needs("eval", {{"test-size", {"split", {"test"}}}}, flags.given.given(), values);
  set_num_threads(static_cast<int>(values.integer("threads")));
  set_kernel_chooser(values);
  const auto dataset = open_split(values, parse_split(values.text("split")));
  tell_notes({dataset.get()}, console);
  const data::LoaderOptions options = evaluation_loader(values, values.integer("batch"));
  const std::string& weights = values.text("weights");
  Network network = load_network(weights, make_network(values, *dataset));
  check_asked_network("eval", asked_of_network(values, flags.given.given()), network, weights);
  tell(heed_zeros(weights, network, values.flag("masks-from-zeros")), console);
  data::Loader loader(dataset, options);
  std::optional<nn::InferencePlan> plan;
  if (values.flag("compiled")) {
    plan = compile_network(network, values.integer("batch"));
    if (!flags.json) console.out << plan->describe() << '\n';
  }
  // With the figures, for a file of weights doesn't say which data they are for.
  const std::string& data = values.text("data");
  const std::string& split = values.text("split");
  nlohmann::ordered_json figures = {{"data", data}, {"split", split}};
  figures.update(while_running([&] { return measure(network, loader, plan ? &*plan : nullptr); }));
  // Only now: a network whose evaluation fails leaves the plan that was there.
  if (plan && !values.text("plan").empty()) {
    while_writing([&] { plan->save(values.text("plan")); });
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
  flags->given.declare(verb, eval_only_options(), "Evaluation");
  flags->given.declare(verb, normalization_options(), "Weights from elsewhere");
  flags->given.declare(verb, model_options(), "Network (files of ours tell it themselves)");
  flags->given.declare(verb, data_options(), "Data");
  flags->given.declare(verb, machine_options(), "Machine");
  flags->given.declare(verb, kernel_options(), "Kernels");
  show_required(verb, "weights");
  verb.add_flag("--json", flags->json, "Print the figures as JSON.");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { eval(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
