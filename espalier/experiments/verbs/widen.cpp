// SPDX-License-Identifier: Apache-2.0
/// `espalier widen`: a network with more channels, which computes the same, or which is to be
/// trained from new weights.
#include <memory>
#include <ostream>

#include <fmt/format.h>

#include <espalier/experiments/failure.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/inputs.h>
#include <espalier/experiments/outputs.h>
#include <espalier/experiments/verbs/resize_text.h>
#include <espalier/experiments/verbs/verbs.h>
#include <espalier/prune/budgets/widest.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/structure/widen.h>

namespace espalier::experiments {
namespace {

constexpr double kMostShare = 1000.0;  // of the network's cost

struct WidenFlags {
  std::string weights;
  std::string model;
  std::string out;
  double factor = 0.0;
  std::string target;
  std::string fresh = "none";
  double noise = 0.0;
  uint64_t seed = 0;
  bool masks_from_zeros = false;
  bool json = false;
};

prune::Fresh fresh_of(const std::string& text) {
  if (text == "none") return prune::Fresh::None;
  return text == "grown" ? prune::Fresh::Grown : prune::Fresh::All;
}

// What `--target` allows, from the network as it was read, nothing masked.
struct Limit {
  std::unique_ptr<prune::Budget> budget;
  double cost = 0.0;
};

Limit limit_of(const WidenFlags& flags, Network& network) {
  if (flags.target.empty()) return {};
  const prune::Target target = prune::parse_target(flags.target, kMostShare);
  const Shape image = network.image();
  Limit limit{prune::make_budget(target.kind, {.input_shape = image}, 1)};
  limit.cost = target.share * limit.budget->cost(*prune::dense_copy(*network.module));
  return limit;
}

void widen(const WidenFlags& flags, Console& console) {
  check_outputs("widen", {{"--out", flags.out, FileKind::Model}}, {flags.weights});
  ESPALIER_CHECK((flags.factor == 0.0) != flags.target.empty(),
                 ValueError,
                 "widen: needs --factor or --target, one of them");
  Network network = load_network("widen", flags.weights, flags.model);
  tell(heed_zeros(flags.weights, network, flags.masks_from_zeros), console);
  nn::Module& model = *network.module;
  const int64_t macs_before = nn::count_model(model, network.image()).total.macs_dense;
  const Limit limit = limit_of(flags, network);
  const Variable input = nn::example_input(network.name, network.options);
  const prune::ResizeReport shrunk = prune::shrink(model, input);
  const double factor =
      limit.budget ? prune::widest_factor(model, input, *limit.budget, limit.cost) : flags.factor;
  const auto widths =
      prune::widths_times(prune::trace_channels(model, input).groups(model), factor);
  prune::ResizeReport report =
      prune::widen(model,
                   input,
                   widths,
                   {.fresh = fresh_of(flags.fresh), .noise = flags.noise, .seed = flags.seed});
  // What is told is the way from what was read.
  report.params_before = shrunk.params_before;
  report.channels_before = shrunk.channels_before;
  report.notes = shrunk.notes;
  for (size_t l = 0; l < report.layers.size(); ++l) {
    report.layers[l].in_before = shrunk.layers[l].in_before;
    report.layers[l].out_before = shrunk.layers[l].out_before;
  }
  nlohmann::ordered_json json = resize_json(report);
  json["factor"] = factor;
  json["macs_dense_before"] = macs_before;
  json["macs_dense"] = nn::count_model(model, network.image()).total.macs_dense;
  while_writing([&] { nn::save_model(flags.out, network.name, network.options, model); });
  console.out << (flags.json ? json.dump(2) + "\n"
                             : resize_text(report) + fmt::format("factor      {:.6g}\n", factor) +
                                   macs_text(json, flags.out));
}

}  // namespace

void add_widen(CLI::App& app, Console& console, Action& action) {
  CLI::App* verb = app.add_subcommand(
      "widen", "Multiply the widths of a network: copies of channels that compute the same.");
  const auto flags = std::make_shared<WidenFlags>();
  verb->add_option("--weights", flags->weights, "A network: safetensors or .edc.")
      ->type_name("FILE")
      ->required();
  verb->add_option("--model",
                   flags->model,
                   "The network of weights from elsewhere, by its name in the model zoo; files of "
                   "ours tell it themselves.")
      ->type_name("TEXT");
  verb->add_option("--out", flags->out, "Where the wider network goes.")
      ->type_name("FILE")
      ->required();
  verb->add_option("--factor",
                   flags->factor,
                   "By which every width is multiplied, after channels that are all zero were cut "
                   "out.")
      ->type_name("REAL")
      ->check(CLI::Range(1.0, kMostShare));
  verb->add_option("--target",
                   flags->target,
                   "Instead, the largest factor that fits KIND=SHARE: macs, params or bytes of the "
                   "network with nothing masked or cut out, times SHARE (macs=1: what it cost "
                   "before it was pruned).")
      ->type_name("TEXT");
  verb->add_option("--fresh",
                   flags->fresh,
                   "Which weights are drawn anew: none (the network computes the same), those of "
                   "grown channels, or all (the widths alone are kept).")
      ->type_name("TEXT")
      ->check(CLI::IsMember({"none", "grown", "all"}))
      ->capture_default_str();
  verb->add_option("--noise",
                   flags->noise,
                   "Standard deviation of normal noise on the filters of copies, in that of the "
                   "weight's entries.")
      ->type_name("REAL")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_option("--seed", flags->seed, "Of which channels are copied, weights and noise.")
      ->type_name("UINT")
      ->capture_default_str();
  verb->add_flag("--masks-from-zeros", flags->masks_from_zeros, masks_from_zeros_option().help);
  verb->add_flag("--json", flags->json, "Print what changed as JSON.");
  verb->callback(
      [&action, &console, flags] { action = [&console, flags] { widen(*flags, console); }; });
}

}  // namespace espalier::experiments
