// SPDX-License-Identifier: Apache-2.0
/// `espalier widen`: a network with more channels, which computes the same, or which is to be
/// trained from new weights.
#include <memory>
#include <ostream>

#include <fmt/format.h>

#include <espalier/experiments/failure.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/inputs/masks.h>
#include <espalier/experiments/run/outputs.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/parts.h>
#include <espalier/experiments/verbs/resize_text.h>
#include <espalier/experiments/verbs/verbs.h>
#include <espalier/prune/budgets/widest.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/structure/widen.h>
#include <nlohmann/json.hpp>

namespace espalier::experiments::verbs {
namespace {

constexpr double kMostShare = 1000.0;  // of the network's cost

struct WidenSettings {
  std::string weights = {};
  std::string model = {};
  std::string out = {};
  double factor = 1.0;
  std::string target = {};
  prune::Fresh fresh = prune::Fresh::None;
  double noise = 0.0;
  int64_t seed = 0;
  bool masks_from_zeros = false;
  UnfedSettings unfed = {};
};

const OptionTable<WidenSettings>& widen_table() {
  using S = WidenSettings;
  static const OptionTable<S> table =
      OptionTable<S>(
          {
              {&S::weights, "weights", "a network: safetensors or .edc"},
              {&S::model, "model", "the network of weights from elsewhere; files of ours tell it"},
              {&S::out, "out", "where the wider network goes"},
              {&S::factor,
               "factor",
               {1, kMostShare},
               "",
               "by which every width is multiplied, after channels that are all zero were cut out"},
              {&S::target,
               "target",
               "instead, the largest factor that fits KIND=SHARE: macs, params or bytes of the "
               "network "
               "with "
               "nothing masked or cut out, times SHARE (macs=1: what it cost before it was "
               "pruned)"},
              {&S::fresh,
               "fresh",
               {"none", "grown", "all"},
               "weights that are drawn anew: none (the network computes the same), those of grown "
               "channels, or all (the widths alone are kept)"},
              {&S::noise,
               "noise",
               {0, 1},
               "standard deviations of the weight's entries",
               "normal noise on the filters of copies"},
              {&S::seed, "seed", {0, 1e9}, "", "of which channels are copied, weights and noise"},
              {&S::masks_from_zeros, "masks-from-zeros", kMasksFromZerosHelp},
          })
          .include(&S::unfed, unfed_table());
  return table;
}

struct WidenFlags {
  GivenOptions given;
  bool json = false;
};

// What `--target` allows, from the network as it was read, nothing masked.
struct Limit {
  std::unique_ptr<prune::Budget> budget;
  double cost = 0.0;
};

Limit limit_of(const WidenSettings& settings, Network& network) {
  if (settings.target.empty()) return {};
  const prune::Target target = prune::parse_target(settings.target, kMostShare);
  const Shape image = network.sample();
  const std::unique_ptr<nn::Module> dense = prune::dense_copy(*network.module);
  Limit limit{prune::make_budget(target.kind, *dense, {.input_shape = image}, 1)};
  limit.cost = target.share * limit.budget->cost(*dense);
  return limit;
}

void widen(const WidenFlags& flags, Console& console) {
  const WidenSettings settings = widen_table().read("widen", flags.given.given());
  ESPALIER_CHECK(!settings.weights.empty(), ValueError, "widen: needs --weights FILE");
  ESPALIER_CHECK(!settings.out.empty(), ValueError, "widen: needs --out FILE");
  check_outputs("widen", {{"--out", settings.out, FileKind::Model}}, {settings.weights});
  ESPALIER_CHECK((flags.given.find("factor") == nullptr) != settings.target.empty(),
                 ValueError,
                 "widen: needs --factor or --target, one of them");
  Network network =
      load_network("widen", settings.weights, settings.model, settings.unfed, flags.given.names());
  tell(heed_zeros(settings.weights, network, settings.masks_from_zeros), console);
  nn::Module& model = *network.module;
  const int64_t macs_before = nn::count_model(model, network.sample()).total.macs_dense;
  const Limit limit = limit_of(settings, network);
  const Variable input = nn::example_input(network.name, network.options);
  const prune::ResizeReport shrunk = prune::shrink(model, input);
  const double factor = limit.budget ? prune::widest_factor(model, input, *limit.budget, limit.cost)
                                     : settings.factor;
  const auto widths =
      prune::widths_times(prune::trace_channels(model, input).groups(model), factor);
  prune::ResizeReport report = prune::widen(model,
                                            input,
                                            widths,
                                            {.fresh = settings.fresh,
                                             .noise = settings.noise,
                                             .seed = static_cast<uint64_t>(settings.seed)});
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
  json["macs_dense"] = nn::count_model(model, network.sample()).total.macs_dense;
  while_writing([&] { nn::save_model(settings.out, network.name, network.options, model); });
  console.out << (flags.json ? json.dump(2) + "\n"
                             : resize_text(report) + fmt::format("factor      {:.6g}\n", factor) +
                                   macs_text(json, settings.out));
}

}  // namespace

void add_widen(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "widen", "Multiply the widths of a network: copies of channels that compute the same.");
  const auto flags = std::make_shared<WidenFlags>();
  flags->given.declare(verb, widen_table().options(), "Widening");
  show_required(verb, "weights");
  show_required(verb, "out");
  verb.add_flag("--json", flags->json, "print what changed as JSON");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { widen(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
