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
#include <espalier/experiments/inputs/masks.h>
#include <espalier/experiments/run/outputs.h>
#include <espalier/experiments/settings/given_options.h>
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

struct CompressSettings {
  std::string weights = {};
  std::string out = {};
  bool masks_from_zeros = false;
  int64_t conv_bits = 8;
  int64_t fc_bits = 5;
  int64_t conv_gap_bits = 8;
  int64_t fc_gap_bits = 5;
  NetworkSettings network = {};
  DataSettings data = {};
};

const OptionTable<CompressSettings>& own_table() {
  using S = CompressSettings;
  static const OptionTable<S> table = {
      {&S::weights, "weights", "the weights: safetensors, ours or in PyTorch's names, or .edc"},
      {&S::out, "out", "where the .edc file goes"},
      {&S::masks_from_zeros, "masks-from-zeros", kMasksFromZerosHelp},
      {&S::conv_bits, "conv-bits", {1, 16}, "bits", "of a convolution's shared values"},
      {&S::fc_bits, "fc-bits", {1, 16}, "bits", "of a linear layer's shared values"},
      {&S::conv_gap_bits,
       "conv-gap-bits",
       {1, 16},
       "bits",
       "of distances between a convolution's weights"},
      {&S::fc_gap_bits,
       "fc-gap-bits",
       {1, 16},
       "bits",
       "of distances between a linear layer's weights"},
  };
  return table;
}

const OptionTable<CompressSettings>& compress_table() {
  using S = CompressSettings;
  static const OptionTable<S> table = OptionTable<S>(own_table())
                                          .include(&S::network, network_table())
                                          .include(&S::data, data_table());
  return table;
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
Network open_network(const CompressSettings& settings) {
  const std::string& weights = settings.weights;
  if (tells_its_network(weights)) return load_network(weights);
  const auto dataset = open_split(settings.data, data::Split::Test);
  return load_network(weights,
                      make_network(settings.network, settings.data.other_classes, *dataset));
}

void compress(const CompressFlags& flags, Console& console) {
  const CompressSettings settings = compress_table().read("compress", flags.given.given());
  const std::string& weights = settings.weights;
  const std::string& out = settings.out;
  ESPALIER_CHECK(!weights.empty(), ValueError, "compress: needs --weights FILE");
  ESPALIER_CHECK(!out.empty(), ValueError, "compress: needs --out FILE");
  check_outputs("compress", {{"--out", out, FileKind::Compressed}}, {weights});
  const nn::compress::EdcOptions options{.values = {.conv = static_cast<int>(settings.conv_bits),
                                                    .fc = static_cast<int>(settings.fc_bits)},
                                         .gaps = {.conv = static_cast<int>(settings.conv_gap_bits),
                                                  .fc = static_cast<int>(settings.fc_gap_bits)}};
  Network network = open_network(settings);
  check_asked_network(
      "compress", asked_of_network(settings.network, flags.given.names()), network, weights);
  tell(heed_zeros(weights, network, settings.masks_from_zeros), console);
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
  flags->given.declare(verb, own_table().options(), "Compression");
  flags->given.declare(verb, network_table().options(), "Network (files of ours tell it)");
  flags->given.declare(verb,
                       data_table().options(),
                       "Data for which weights from elsewhere are (files of ours tell it)");
  show_required(verb, "weights");
  show_required(verb, "out");
  verb.add_flag("--json", flags->json, "print the sizes as JSON");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { compress(*flags, console); }; });
}

void add_decompress(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb("decompress", "An .edc file back to safetensors.");
  const auto flags = std::make_shared<DecompressFlags>();
  verb.add_option("--weights", flags->weights, "the .edc file").type_name("FILE").required();
  verb.add_option("--out", flags->out, "where the safetensors file goes")
      .type_name("FILE")
      .required();
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { decompress(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
