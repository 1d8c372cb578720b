// SPDX-License-Identifier: Apache-2.0
// Runs ours and the peers in turns and prints ratios against the fastest form of each peer.
//
//   peer_compare steps          training (or --infer) steps against libtorch
//   peer_compare convolutions   dense 3x3 convolutions against oneDNN
//   peer_compare latency       one image or a batch, compiled, against libtorch at its best threads
//   peer_compare memory         largest resident size of a training step
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <espalier/core/io.h>
#include <espalier/core/parallel.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/machine.h>
#include <espalier/experiments/peers/latency.h>
#include <espalier/experiments/peers/sides.h>
#include <espalier/experiments/timing/conv_bench.h>
#include <espalier/experiments/timing/step_bench.h>

namespace espalier::experiments::peers {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Settings {
  std::vector<std::string> models = {"vgg16", "resnet20", "resnet32"};
  std::vector<double> sparsities = {0.9, 0.95};
  std::string allocation = "uniform";
  std::string weights;
  int64_t batch = 128;
  int threads = 2;
  int64_t rounds = 5;
  double round_seconds = 1.0;
  bool infer = false;
  std::string json;
};

struct Row {
  std::string name;
  timing::RoundTimes times;
  double macs;
};

Json row_json(
    const Row& row, double fastest_peer, double ours_dense, double ours_direct, double peak) {
  const double seconds = row.times.median();
  return {{"name", row.name},
          {"milliseconds", 1e3 * seconds},
          {"spread", row.times.spread()},
          {"x_fastest_peer", fastest_peer / seconds},
          {"x_our_dense", ours_dense / seconds},
          {"x_our_direct_dense", ours_direct / seconds},
          {"share_of_peak", 2.0 * row.macs / seconds / peak}};
}

std::string table_text(const Json& rows) {
  std::vector<std::vector<std::string>> table = {
      {"", "ms", "spread", "x fastest peer", "x our dense", "x our direct", "share of peak"}};
  for (const Json& row : rows) {
    const auto number = [&](const char* key) { return row.at(key).get<double>(); };
    table.push_back({row.at("name").get<std::string>(),
                     fmt::format("{:.2f}", number("milliseconds")),
                     fmt::format("{:.0f} %", 100.0 * number("spread")),
                     fmt::format("{:.2f}", number("x_fastest_peer")),
                     fmt::format("{:.2f}", number("x_our_dense")),
                     fmt::format("{:.2f}", number("x_our_direct_dense")),
                     fmt::format("{:.0f} %", 100.0 * number("share_of_peak"))});
  }
  return text_table(table);
}

Json compare_steps(const std::string& model, const Settings& s) {
  const std::string program = beside("peer_libtorch", "libtorch-dev");
  const std::vector<std::string> layouts = {"nchw", "channels_last"};
  std::vector<std::unique_ptr<Child>> children;
  std::vector<timing::Side> sides;
  for (const std::string& layout : layouts) {
    children.push_back(std::make_unique<Child>(
        std::vector<std::string>{
            program, model, std::to_string(s.batch), std::to_string(s.threads), layout},
        std::vector<std::pair<std::string, std::string>>{
            {"OMP_NUM_THREADS", std::to_string(s.threads)}}));
    sides.push_back(side_of(*children.back(), s.infer ? "infer " : "train ", s.round_seconds));
  }
  std::vector<std::unique_ptr<timing::StepBench>> ours;
  std::vector<std::string> names = {"libtorch nchw", "libtorch channels_last", "espalier dense"};
  ours.push_back(std::make_unique<timing::StepBench>(fresh_network(model), s.batch));
  for (const double sparsity : s.sparsities) {
    Network network = fresh_network(model);
    timing::mask_randomly(network, {.sparsity = sparsity, .allocation = s.allocation});
    names.push_back(fmt::format("espalier {:.0f} %", 100.0 * sparsity));
    ours.push_back(std::make_unique<timing::StepBench>(std::move(network), s.batch));
  }
  for (const auto& bench : ours) {
    sides.push_back(repeated(s.infer ? bench->infer() : bench->train_step(), s.round_seconds));
  }
  names.push_back("espalier direct dense");
  sides.push_back(
      repeated(timing::by_algorithm(Conv2dAlgorithm::Direct,
                                    s.infer ? ours.front()->infer() : ours.front()->train_step()),
               s.round_seconds));
  const double before = timing::measure_peak();
  const std::vector<timing::RoundTimes> times = timing::time_in_turns(sides, s.rounds, 0.0);
  const double after = timing::measure_peak();
  const auto macs_of = [&](const timing::StepBench& bench) {
    return static_cast<double>(s.infer ? bench.infer_macs() : bench.train_macs());
  };
  Json rows = Json::array();
  const double fastest = std::min(times[0].median(), times[1].median());
  for (size_t i = 0; i < times.size(); ++i) {
    const size_t own = i - layouts.size();
    const timing::StepBench& bench =
        i < layouts.size() || own == ours.size() ? *ours[0] : *ours[own];
    rows.push_back(row_json({names[i], times[i], macs_of(bench)},
                            fastest,
                            times[layouts.size()].median(),
                            times.back().median(),
                            std::max(before, after)));
  }
  std::cout << fmt::format("\n{} {}, batch {}, {} threads, peak {:.0f} / {:.0f} GFLOP/s\n",
                           model,
                           s.infer ? "inference" : "training step",
                           s.batch,
                           s.threads,
                           before / 1e9,
                           after / 1e9)
            << table_text(rows) << std::flush;
  return {{"model", model},
          {"job", s.infer ? "infer" : "train"},
          {"peak_gflops_before", before / 1e9},
          {"peak_gflops_after", after / 1e9},
          {"rows", rows}};
}

Json compare_convolutions(const Settings& s) {
  const std::string program = beside("peer_onednn", "libdnnl-dev");
  std::vector<double> ratios;
  Json out = Json::array();
  std::vector<std::vector<std::string>> table = {{"channels",
                                                  "plane",
                                                  "direction",
                                                  "direct ms",
                                                  "auto ms",
                                                  "ours ms",
                                                  "x faster",
                                                  "share of peak"}};
  const double before = timing::measure_peak();
  for (const timing::ConvLayer& layer : timing::cifar_layers()) {
    timing::ConvBench bench(layer, s.batch);
    for (const timing::ConvDirection direction : {timing::ConvDirection::Forward,
                                                  timing::ConvDirection::BackwardData,
                                                  timing::ConvDirection::BackwardWeights}) {
      std::vector<std::unique_ptr<Child>> children;
      std::vector<timing::Side> sides;
      for (const char* how : {"direct", "auto"}) {
        children.push_back(
            std::make_unique<Child>(std::vector<std::string>{program,
                                                             std::to_string(layer.channels),
                                                             std::to_string(layer.plane),
                                                             std::to_string(s.batch),
                                                             name(direction),
                                                             how},
                                    std::vector<std::pair<std::string, std::string>>{
                                        {"OMP_NUM_THREADS", std::to_string(s.threads)}}));
        sides.push_back(side_of(*children.back(), "", s.round_seconds));
      }
      sides.push_back(repeated(bench.dense(direction), s.round_seconds));
      const std::vector<timing::RoundTimes> times = timing::time_in_turns(sides, s.rounds, 0.0);
      const double fastest = std::min(times[0].median(), times[1].median());
      const double ratio = fastest / times[2].median();
      ratios.push_back(ratio);
      const double gflops = 2e-9 * bench.macs(direction) / times[2].median();
      out.push_back({{"channels", layer.channels},
                     {"plane", layer.plane},
                     {"direction", name(direction)},
                     {"milliseconds_direct", 1e3 * times[0].median()},
                     {"milliseconds_auto", 1e3 * times[1].median()},
                     {"milliseconds", 1e3 * times[2].median()},
                     {"spread", times[2].spread()},
                     {"x_faster_peer", ratio},
                     {"share_of_peak", 1e9 * gflops / before}});
      table.push_back({std::to_string(layer.channels),
                       fmt::format("{0}x{0}", layer.plane),
                       name(direction),
                       fmt::format("{:.3f}", 1e3 * times[0].median()),
                       fmt::format("{:.3f}", 1e3 * times[1].median()),
                       fmt::format("{:.3f}", 1e3 * times[2].median()),
                       fmt::format("{:.2f}", ratio),
                       fmt::format("{:.0f} %", 1e11 * gflops / before)});
    }
  }
  const double after = timing::measure_peak();
  std::cout
      << text_table(table)
      << fmt::format(
             "ours against the faster of direct and auto: {:.2f} x, geometric mean; batch {}, "
             "{} threads, peak {:.0f} / {:.0f} GFLOP/s\n",
             timing::geometric_mean(ratios),
             s.batch,
             s.threads,
             before / 1e9,
             after / 1e9);
  return {{"geometric_mean", timing::geometric_mean(ratios)},
          {"peak_gflops_before", before / 1e9},
          {"peak_gflops_after", after / 1e9},
          {"rows", out}};
}

/// Ours in a process of its own as well: this one has held other networks.
Json compare_memory(const std::string& model, const Settings& s) {
  const auto size_of = [&](const std::vector<std::string>& command) {
    Child child(command, {{"OMP_NUM_THREADS", std::to_string(s.threads)}});
    child.ask("train 3");
    return child.ask("memory");
  };
  const std::string batch = std::to_string(s.batch);
  const std::string peer = beside("peer_libtorch", "libtorch-dev");
  const double nchw = size_of({peer, model, batch, std::to_string(s.threads), "nchw"});
  const double last = size_of({peer, model, batch, std::to_string(s.threads), "channels_last"});
  const double ours = size_of({fs::read_symlink("/proc/self/exe").string(),
                               "serve",
                               "--model",
                               model,
                               "--batch",
                               batch,
                               "--threads",
                               std::to_string(s.threads)});
  std::cout << fmt::format(
      "{}: {:.0f} MB; libtorch nchw {:.0f} MB, channels_last {:.0f} MB: {:.2f} x the smaller\n",
      model,
      ours / 1e6,
      nchw / 1e6,
      last / 1e6,
      ours / std::min(nchw, last));
  return {{"model", model}, {"bytes", ours}, {"bytes_nchw", nchw}, {"bytes_channels_last", last}};
}

/// Answers `train N` and `memory` as a peer does.
void serve(const Settings& s) {
  timing::StepBench bench(fresh_network(s.models.front()), s.batch);
  const timing::Side step = bench.train_step();
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "memory") {
      rusage usage{};
      getrusage(RUSAGE_SELF, &usage);
      std::cout << 1024.0 * static_cast<double>(usage.ru_maxrss) << std::endl;
      continue;
    }
    double seconds = 0.0;
    const int64_t count = std::stoll(line.substr(line.find(' ') + 1));
    for (int64_t i = 0; i < count; ++i) seconds += step();
    std::cout << seconds / static_cast<double>(count) << std::endl;
  }
}

int run(int argc, char** argv) {
  CLI::App app("Espalier and its peers in turns.", "peer_compare");
  app.require_subcommand(1);
  Settings s;
  const auto add = [&](const char* verb, const char* help) {
    CLI::App* sub = app.add_subcommand(verb, help);
    sub->add_option("--model", s.models, "vgg16, resnet20, resnet32.")->delimiter(',');
    sub->add_option("--batch", s.batch, "Samples at once.");
    sub->add_option("--threads", s.threads, "Threads of both sides.");
    sub->add_option("--rounds", s.rounds, "Rounds.");
    sub->add_option("--round-seconds", s.round_seconds, "Length of a side's round.");
    sub->add_option("--json", s.json, "Also write the figures to this file.");
    return sub;
  };
  CLI::App* steps = add("steps", "Training steps against libtorch.");
  steps->add_option("--sparsity", s.sparsities, "Removed fractions.")->delimiter(',');
  steps->add_option("--allocation", s.allocation, "Densities of the layers of a random mask.");
  steps->add_flag("--infer", s.infer, "Forward passes instead.");
  CLI::App* latency = add(
      "latency", "Compiled inference (one image by default) against libtorch on 1 and 2 threads.");
  latency->add_option("--sparsity", s.sparsities, "Removed fractions.")->delimiter(',');
  CLI::App* convolutions = add("convolutions", "Dense 3x3 convolutions against oneDNN.");
  CLI::App* memory = add("memory", "Largest resident size of a training step.");
  CLI::App* server = add("serve", "Answer requests as a peer does.");
  CLI11_PARSE(app, argc, argv);
  if (latency->parsed()) {
    if (latency->count("--batch") == 0) s.batch = 1;
    if (latency->count("--threads") == 0) s.threads = 1;
  }
  set_num_threads(s.threads);
  if (server->parsed()) {
    serve(s);
    return 0;
  }
  const char* core = std::getenv("OPENBLAS_CORETYPE");
  std::cout << "OPENBLAS_CORETYPE " << (core == nullptr ? "not set" : core) << '\n';
  Json result = {{"machine", machine_json()},
                 {"batch", s.batch},
                 {"threads", s.threads},
                 {"openblas_coretype", core == nullptr ? "" : core}};
  if (convolutions->parsed()) result["convolutions"] = compare_convolutions(s);
  for (const std::string& model : s.models) {
    if (steps->parsed()) result["steps"].push_back(compare_steps(model, s));
    if (latency->parsed()) {
      result["latency"].push_back(
          compare_latency({model, s.batch, s.sparsities, s.rounds, s.round_seconds}));
    }
    if (memory->parsed()) result["memory"].push_back(compare_memory(model, s));
  }
  if (!s.json.empty()) espalier::write_file(s.json, result.dump(2) + "\n");
  return 0;
}

}  // namespace
}  // namespace espalier::experiments::peers

int main(int argc, char** argv) {
  try {
    return espalier::experiments::peers::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
}
