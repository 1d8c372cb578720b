// SPDX-License-Identifier: Apache-2.0
// Fuzz target: a training's configuration file (TOML), its values checked as `train --config` does.
#include <CLI/CLI.hpp>

#include <espalier/core/error.h>
#include <espalier/core/fuzz/target.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/train_settings.h>

namespace espalier::fuzz {

void read(const Bytes& input) {
  const std::vector<Option> options = experiments::train_table().options();
  CLI::App app;
  experiments::GivenOptions given;
  given.declare(experiments::Verb(app), options, "train");
  given.read_config(put("input.toml", input));
  experiments::train_table().read("train", given.given());
  for (const auto& [name, text] : given.given()) saw(name + "=" + text);
}

std::vector<Bytes> seeds() {
  const std::string text =
      "# a recipe\nmodel = \"resnet20\"\ndata = 'synth'\nepochs = 3\nlr = 1e-1\n"
      "schedule = \"multistep\"\nmilestones = [0.5, 0.75]\n";
  return {Bytes(text.begin(), text.end()), {}};
}

std::vector<Bytes> refused() {
  const std::string deep = "lr = " + std::string(100'000, '[') + std::string(100'000, ']');
  std::string dotted = "a";
  for (int i = 0; i < 200'000; ++i) dotted += ".a";
  const std::string key = dotted + " = 1", header = "[" + dotted + "]", inner = "a = {" + key + "}";
  std::vector<Bytes> out;
  for (const std::string& text : {deep, key, header, inner})
    out.emplace_back(text.begin(), text.end());
  return out;
}

}  // namespace espalier::fuzz
