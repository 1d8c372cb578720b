// SPDX-License-Identifier: Apache-2.0
/// `espalier compress`: a pruned network to an .edc file, a fraction of its size; `decompress`:
/// back to safetensors. The .edc file itself is taken wherever a verb takes weights.
#include <algorithm>
#include <memory>
#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/experiments/failure.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/run/outputs.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/options.h>
#include <espalier/experiments/verbs/verbs.h>
#include <espalier/nn/compress/edc_file.h>

namespace espalier::experiments::verbs {
namespace {

using nn::compress::EdcLayer;
using nn::compress::EdcReport;

struct CompressFlags {
  GivenOptions given;
  bool json = false;
};

std::vector<Option> compress_only_options() {
  return {
      text_option("weights", "", "The weights: safetensors, ours or in PyTorch's names, or .edc."),
      text_option("out", "", "Where the .edc file goes."),
      masks_from_zeros_option(),
      integer_option("conv-bits", 8, 1, 16, "bits", "Of a convolution's shared values."),
      integer_option("fc-bits", 5, 1, 16, "bits", "Of a linear layer's shared values."),
      integer_option(
          "conv-gap-bits", 8, 1, 16, "bits", "Of distances between a convolution's weights."),
      integer_option(
          "fc-gap-bits", 5, 1, 16, "bits", "Of distances between a linear layer's weights."),
  };
}

std::vector<Option> compress_options() {
  std::vector<Option> out;
  for (const auto& list : {model_options(), data_set_options(), compress_only_options()}) {
    out.insert(out.end(), list.begin(), list.end());
  }
  return out;
}

nlohmann::ordered_json report_json(const EdcReport& report) {
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (const EdcLayer& layer : report.layers) {
    layers.push_back({{"name", layer.name},
                      {"weights", layer.weights},
                      {"kept", layer.kept},
                      {"entries", layer.entries},
                      {"clusters", layer.clusters},
                      {"value_bits", layer.value_bits},
                      {"gap_bits", layer.gap_bits},
                      {"bytes", layer.bytes}});
  }
  return {{"dense_bytes", report.dense_bytes},
          {"file_bytes", report.file_bytes},
          {"plain_bytes", report.plain_bytes},
          {"ratio", report.ratio()},
          {"layers", layers}};
}

std::string report_text(const EdcReport& report, const std::string& out) {
  std::vector<std::vector<std::string>> rows = {
      {"weight", "kept", "of", "fillers", "values", "bits/value", "bits/gap", "bytes", "times"}};
  for (const EdcLayer& layer : report.layers) {
    const double ratio =
        4.0 * static_cast<double>(layer.weights) / static_cast<double>(layer.bytes);
    rows.push_back({layer.name,
                    std::to_string(layer.kept),
                    std::to_string(layer.weights),
                    std::to_string(layer.entries - layer.kept),
                    std::to_string(layer.clusters),
                    fmt::format("{:.2f}", layer.value_bits),
                    fmt::format("{:.2f}", layer.gap_bits),
                    std::to_string(layer.bytes),
                    fmt::format("{:.1f}", ratio)});
  }
  return text_table(rows) +
         fmt::format("\n{} bytes in float32, {} in the file: {:.1f} times smaller\nwritten to {}\n",
                     grouped(report.dense_bytes),
                     grouped(report.file_bytes),
                     report.ratio(),
                     out);
}

// A file of ours tells what it is; for others the flags and the data set do.
Network open_network(const OptionValues& values) {
  const std::string& weights = values.text("weights");
  if (tells_its_network(weights)) return load_network(weights);
  const auto dataset = open_data(values.text("data"),
                                 data::Split::Test,
                                 values.text("data-root"),
                                 {.seed = static_cast<uint64_t>(values.integer("data-seed")),
                                  .allow_empty_classes = values.flag("allow-empty-classes")});
  return load_network(weights, make_network(values, *dataset));
}

void compress(const CompressFlags& flags, Console& console) {
  const OptionValues values("compress", compress_options(), flags.given.given());
  for (const char* needed : {"weights", "out"}) {
    ESPALIER_CHECK(!values.text(needed).empty(), ValueError, "compress: needs --", needed, " FILE");
  }
  check_outputs(
      "compress", {{"--out", values.text("out"), FileKind::Compressed}}, {values.text("weights")});
  const auto bits = [&](const char* option) { return static_cast<int>(values.integer(option)); };
  const nn::compress::EdcOptions options{
      .values = {.conv = bits("conv-bits"), .fc = bits("fc-bits")},
      .gaps = {.conv = bits("conv-gap-bits"), .fc = bits("fc-gap-bits")}};
  Network network = open_network(values);
  check_asked_network(
      "compress", asked_of_network(values, flags.given.given()), network, values.text("weights"));
  tell(heed_zeros(values.text("weights"), network, values.flag("masks-from-zeros")), console);
  const std::string& out = values.text("out");
  const EdcReport report = while_writing([&] {
    return nn::compress::save_edc(out, network.name, network.options, *network.module, options);
  });
  console.out << (flags.json ? report_json(report).dump(2) + "\n" : report_text(report, out));
}

struct DecompressFlags {
  std::string weights;
  std::string out;
};

void decompress(const DecompressFlags& flags, Console& console) {
  check_outputs("decompress", {{"--out", flags.out, FileKind::Model}}, {flags.weights});
  ESPALIER_CHECK(nn::compress::is_edc(flags.weights),
                 ValueError,
                 "decompress: expects an .edc file, which ",
                 flags.weights,
                 " is not");
  const Network network = load_network(flags.weights);
  while_writing([&] { nn::save_model(flags.out, network.name, network.options, *network.module); });
  console.out << "written to " << flags.out << '\n';
}

}  // namespace

void add_compress(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "compress",
      "Deep Compression to a small file: shared values, relative positions, Huffman codes.");
  const auto flags = std::make_shared<CompressFlags>();
  flags->given.declare(verb, compress_only_options(), "Compression");
  flags->given.declare(verb, model_options(), "Network (files of ours tell it themselves)");
  flags->given.declare(verb,
                       data_set_options(),
                       "Data for which weights from elsewhere are (files of ours tell it)");
  show_required(verb, "weights");
  show_required(verb, "out");
  verb.add_flag("--json", flags->json, "Print the sizes as JSON.");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { compress(*flags, console); }; });
}

void add_decompress(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb("decompress", "An .edc file back to safetensors.");
  const auto flags = std::make_shared<DecompressFlags>();
  verb.add_option("--weights", flags->weights, "The .edc file.").type_name("FILE").required();
  verb.add_option("--out", flags->out, "Where the safetensors file goes.")
      .type_name("FILE")
      .required();
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { decompress(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
