// SPDX-License-Identifier: Apache-2.0
/// `espalier quantize`: a trained network to one that computes in 8-bit integers, from a few
/// hundred images and no training.
#include <algorithm>
#include <memory>
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
#include <espalier/nn/quantize/quantize.h>

namespace espalier::experiments::verbs {
namespace {

constexpr int64_t kCalibrationBatch = 64;

struct QuantizeFlags {
  GivenOptions given;
  bool json = false;
};

std::vector<Option> quantize_only_options() {
  return {
      text_option("weights", "", "The weights: safetensors or .edc."),
      masks_from_zeros_option(),
      text_option("out", "", "Where the quantized network goes (safetensors)."),
      choice_option("calibration",
                    {"mse", "minmax", "percentile"},
                    "How ranges of activations follow from the images: least squared error, "
                    "all values, or without the outermost."),
      real_option(
          "percentile", 0.999, 0.5001, 1, "", "Of percentile: the part below the upper end."),
      integer_option("images",
                     512,
                     1,
                     1e9,
                     "",
                     "Training images to calibrate with, whole, as inference sees them."),
      integer_option("seed", 0, 0, 1e9, "", "Which images."),
  };
}

std::vector<Option> quantize_options() {
  std::vector<Option> out;
  for (const auto& list : {model_options(),
                           data_set_options(),
                           quantize_only_options(),
                           normalization_options(),
                           machine_options()}) {
    out.insert(out.end(), list.begin(), list.end());
  }
  return out;
}

nlohmann::ordered_json report_json(const std::vector<nn::QuantizedLayer>& layers,
                                   const std::vector<std::string>& left) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const nn::QuantizedLayer& layer : layers) {
    list.push_back({{"name", layer.name},
                    {"weights", layer.weights},
                    {"nonzero_float", layer.nonzero_float},
                    {"nonzero", layer.nonzero},
                    {"least", layer.least},
                    {"largest", layer.largest},
                    {"scale", layer.scale},
                    {"zero", layer.zero}});
  }
  return {{"kernel", sparse::int8_kernel()}, {"layers", list}, {"float32", left}};
}

std::string report_text(const std::vector<nn::QuantizedLayer>& layers,
                        const std::vector<std::string>& left) {
  std::vector<std::vector<std::string>> rows = {
      {"layer", "weights", "not zero", "after rounding", "input from", "to", "zero at"}};
  for (const nn::QuantizedLayer& layer : layers) {
    rows.push_back({layer.name,
                    std::to_string(layer.weights),
                    std::to_string(layer.nonzero_float),
                    std::to_string(layer.nonzero),
                    fmt::format("{:.3f}", layer.least),
                    fmt::format("{:.3f}", layer.largest),
                    std::to_string(layer.zero)});
  }
  std::string out = text_table(rows) + fmt::format("\nkernel: {}\n", sparse::int8_kernel());
  for (const std::string& name : left) {
    out += fmt::format("note: {} stays in float32, it has no 8-bit kernel\n", name);
  }
  return out;
}

void quantize(const QuantizeFlags& flags, Console& console) {
  const OptionValues values("quantize", quantize_options(), flags.given.given());
  for (const char* needed : {"weights", "out"}) {
    ESPALIER_CHECK(!values.text(needed).empty(), ValueError, "quantize: needs --", needed, " FILE");
  }
  check_outputs(
      "quantize", {{"--out", values.text("out"), FileKind::Model}}, {values.text("weights")});
  check_needs(
      "quantize", {{"percentile", {"calibration", {"percentile"}}}}, flags.given.given(), values);
  set_num_threads(static_cast<int>(values.integer("threads")));
  // Not augmented, unlike what pruning calibrates with: ranges are of what inference will see.
  const data::LoaderOptions batches = evaluation_loader(values, kCalibrationBatch);
  auto dataset = open_split(values, data::Split::Train);
  tell_notes({dataset.get()}, console);
  const std::string& weights = values.text("weights");
  Network network = load_network(weights, make_network(values, *dataset));
  check_asked_network("quantize", asked_of_network(values, flags.given.given()), network, weights);
  tell(heed_zeros(weights, network, values.flag("masks-from-zeros")), console);
  // Fewer than by default are all; fewer than asked for are an error.
  const int64_t images = flags.given.find("images") != nullptr
                             ? values.integer("images")
                             : std::min(values.integer("images"), dataset->size());
  dataset = data::subset(dataset, images, static_cast<uint64_t>(values.integer("seed")));
  data::Loader loader(dataset, batches);
  const std::string& method = values.text("calibration");
  const nn::CalibrationOptions options{.method = method == "mse"      ? nn::Calibration::Mse
                                                 : method == "minmax" ? nn::Calibration::MinMax
                                                                      : nn::Calibration::Percentile,
                                       .percentile = values.real("percentile")};
  const std::vector<std::string> left = nn::attach_quantizers(*network.module);
  while_running([&] { nn::calibrate(*network.module, loader, options); });
  const auto layers = nn::quantized_layers(*network.module);
  const std::string& out = values.text("out");
  while_writing([&] { nn::save_model(out, network.name, network.options, *network.module); });
  console.out << (flags.json
                      ? report_json(layers, left).dump(2) + "\n"
                      : report_text(layers, left) + "written to " + out +
                            " (float32 values with the scales of their 8-bit grids: as large "
                            "as before, computed in integers)\n");
}

}  // namespace

void add_quantize(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "quantize", "A trained network in 8-bit integers, calibrated on a few hundred images.");
  const auto flags = std::make_shared<QuantizeFlags>();
  flags->given.declare(verb, quantize_only_options(), "Quantization");
  flags->given.declare(verb, normalization_options(), "Weights from elsewhere");
  flags->given.declare(verb, model_options(), "Network (files of ours tell it themselves)");
  flags->given.declare(verb, data_set_options(), "Data");
  flags->given.declare(verb, machine_options(), "Machine");
  show_required(verb, "weights");
  show_required(verb, "out");
  verb.add_flag("--json", flags->json, "Print the layers as JSON.");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { quantize(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
