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
#include <espalier/experiments/inputs/masks.h>
#include <espalier/experiments/run/outputs.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/verbs/verbs.h>
#include <espalier/nn/quantize/quantize.h>

namespace espalier::experiments::verbs {
namespace {

constexpr int64_t kCalibrationBatch = 64;

struct QuantizeFlags {
  GivenOptions given;
  bool json = false;
};

struct QuantizeSettings {
  std::string weights = {};
  bool masks_from_zeros = false;
  std::string out = {};
  nn::Calibration calibration = nn::Calibration::Mse;
  double percentile = 0.999;
  int64_t images = 512;
  int64_t seed = 0;
  NetworkSettings network = {};
  DataSettings data = {};
  Normalization normalization = {};
  MachineSettings machine = {};
};

const OptionTable<QuantizeSettings>& own_table() {
  using S = QuantizeSettings;
  static const OptionTable<S> table = {
      {&S::weights, "weights", "the weights: safetensors or .edc"},
      {&S::masks_from_zeros, "masks-from-zeros", kMasksFromZerosHelp},
      {&S::out, "out", "where the quantized network goes, safetensors"},
      {&S::calibration,
       "calibration",
       {"minmax", "percentile", "mse"},
       "how ranges of activations follow from images: all values, without the outermost, or with "
       "the least squared error"},
      OptionEntry<S>(&S::percentile, "percentile", {0.5001, 1}, "", "the part below the upper end")
          .needing("calibration", {"percentile"}),
      {&S::images,
       "images",
       {1, 1e9},
       "",
       "training images to calibrate with, whole, as inference sees them"},
      {&S::seed, "seed", {0, 1e9}, "", "which images"},
  };
  return table;
}

const OptionTable<QuantizeSettings>& quantize_table() {
  using S = QuantizeSettings;
  static const OptionTable<S> table = OptionTable<S>(own_table())
                                          .include(&S::network, network_table())
                                          .include(&S::data, data_table())
                                          .include(&S::normalization, normalization_table())
                                          .include(&S::machine, machine_table());
  return table;
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
  const QuantizeSettings settings = quantize_table().read("quantize", flags.given.given());
  const std::string& weights = settings.weights;
  const std::string& out = settings.out;
  ESPALIER_CHECK(!weights.empty(), ValueError, "quantize: needs --weights FILE");
  ESPALIER_CHECK(!out.empty(), ValueError, "quantize: needs --out FILE");
  check_outputs("quantize", {{"--out", out, FileKind::Model}}, {weights});
  set_num_threads(static_cast<int>(settings.machine.threads));
  // Not augmented, unlike what pruning calibrates with: ranges are of what inference will see.
  const data::LoaderOptions batches =
      evaluation_loader(settings.normalization, settings.machine.workers, kCalibrationBatch);
  auto dataset = open_split(settings.data, data::Split::Train);
  tell_notes({dataset.get()}, console);
  Network network =
      load_network(weights, make_network(settings.network, settings.data.other_classes, *dataset));
  check_asked_network(
      "quantize", asked_of_network(settings.network, flags.given.names()), network, weights);
  tell(heed_zeros(weights, network, settings.masks_from_zeros), console);
  // Fewer than by default are all; fewer than asked for are an error.
  const int64_t images = flags.given.find("images") != nullptr
                             ? settings.images
                             : std::min(settings.images, dataset->size());
  dataset = data::subset(dataset, images, static_cast<uint64_t>(settings.seed));
  data::Loader loader(dataset, batches);
  const nn::CalibrationOptions options{.method = settings.calibration,
                                       .percentile = settings.percentile};
  const std::vector<std::string> left = nn::attach_quantizers(*network.module);
  while_running([&] { nn::calibrate(*network.module, loader, options); });
  const auto layers = nn::quantized_layers(*network.module);
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
  flags->given.declare(verb, own_table().options(), "Quantization");
  flags->given.declare(verb, normalization_table().options(), "Quantization");
  flags->given.declare(verb, network_table().options(), "Network (files of ours tell it)");
  flags->given.declare(verb, data_table().options(), "Data");
  flags->given.declare(verb, machine_table().options(), "Machine");
  show_required(verb, "weights");
  show_required(verb, "out");
  verb.add_flag("--json", flags->json, "print the layers as JSON");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { quantize(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
