// SPDX-License-Identifier: Apache-2.0
/// `espalier shrink`: masked weights to a physically smaller network.
#include <memory>
#include <ostream>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/experiments/failure.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/inputs/masks.h>
#include <espalier/experiments/run/outputs.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/parts.h>
#include <espalier/experiments/verbs/resize_text.h>
#include <espalier/experiments/verbs/verbs.h>
#include <espalier/prune/structure/reorder.h>
#include <espalier/prune/structure/shrink.h>

namespace espalier::experiments::verbs {
namespace {

struct ShrinkFlags {
  GivenOptions given;  // of the network, where a file does not tell it
  std::string weights;
  std::string model;
  std::string out;
  bool masks_from_zeros = false;
  bool gather_blocks = false;
  bool json = false;
};

nlohmann::ordered_json fills_json(const std::vector<prune::BlockFill>& fills) {
  nlohmann::ordered_json weights = nlohmann::ordered_json::array();
  for (const prune::BlockFill& weight : fills) {
    weights.push_back({{"name", weight.name},
                       {"density", weight.density},
                       {"fill_before", weight.before},
                       {"fill", weight.after}});
  }
  return weights;
}

std::string fills_text(const std::vector<prune::BlockFill>& fills) {
  if (fills.empty()) return "\nnote: no weight has a mask, so there are no blocks to fill\n";
  std::vector<std::vector<std::string>> rows = {{"weight", "density", "blocks filled", "were"}};
  for (const prune::BlockFill& weight : fills) {
    rows.push_back({weight.name,
                    fmt::format("{:.4f}", weight.density),
                    fmt::format("{:.4f}", weight.after),
                    fmt::format("{:.4f}", weight.before)});
  }
  return "\n" + text_table(rows);
}

void shrink(const ShrinkFlags& flags, Console& console) {
  check_outputs("shrink", {{"--out", flags.out, FileKind::Model}}, {flags.weights});
  std::set<std::string> given = flags.given.names();
  if (!flags.model.empty()) given.insert("model");
  Network network = load_network("shrink",
                                 flags.weights,
                                 flags.model,
                                 unfed_table().read("shrink", flags.given.given()),
                                 given);
  tell(heed_zeros(flags.weights, network, flags.masks_from_zeros), console);
  const nlohmann::ordered_json before =
      count_json(nn::count_model(*network.module, network.sample()));
  const Variable input = nn::example_input(network.name, network.options);
  const prune::ResizeReport report = prune::shrink(*network.module, input);
  std::vector<prune::BlockFill> fills;
  if (flags.gather_blocks) {
    fills = prune::gather_blocks(*network.module, input);
  }
  nlohmann::ordered_json json = resize_json(report);
  if (flags.gather_blocks) json["weights"] = fills_json(fills);
  json["macs_dense_before"] = before.at("macs_dense");
  json["macs_dense"] = nn::count_model(*network.module, network.sample()).total.macs_dense;
  while_writing([&] { nn::save_model(flags.out, network.name, network.options, *network.module); });
  if (flags.json) {
    console.out << json.dump(2) << '\n';
    return;
  }
  if (report.params == report.params_before && !flags.gather_blocks) {
    console.out << "no channel is all zero: the network is as it was, written to " << flags.out
                << "; pruning with --pattern channel makes such channels\n";
    return;
  }
  console.out << resize_text(report) << (flags.gather_blocks ? fills_text(fills) : "")
              << macs_text(json, flags.out);
}

}  // namespace

void add_shrink(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "shrink", "Remove channels that are all zero: a smaller network that computes the same.");
  const auto flags = std::make_shared<ShrinkFlags>();
  verb.add_option("--weights", flags->weights, "a network: safetensors or .edc")
      .type_name("FILE")
      .required();
  verb.add_option("--model",
                  flags->model,
                  "the network of weights from elsewhere, by its name in the model zoo; files of "
                  "ours tell it themselves")
      .type_name("TEXT");
  flags->given.declare(verb, unfed_table().options(), "Network (files of ours tell it)");
  verb.add_option("--out", flags->out, "where the smaller network goes")
      .type_name("FILE")
      .required();
  verb.add_flag("--masks-from-zeros", flags->masks_from_zeros, kMasksFromZerosHelp);
  verb.add_flag("--gather-blocks",
                flags->gather_blocks,
                "then put channels with similar masks side by side, so that blocks of four output "
                "channels are fuller: the same network, for kernels that work in blocks");
  verb.add_flag("--json", flags->json, "print what changed as JSON");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { shrink(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
