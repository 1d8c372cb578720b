// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/peers/latency.h>

#include <algorithm>
#include <iostream>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/parallel.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/machine.h>
#include <espalier/experiments/peers/sides.h>
#include <espalier/experiments/timing/step_bench.h>

namespace espalier::experiments::peers {

using Json = nlohmann::ordered_json;

Json compare_latency(const LatencySettings& s) {
  const std::string program = beside("peer_libtorch", "libtorch-dev");
  std::vector<std::unique_ptr<Child>> children;
  std::vector<timing::Side> sides;
  std::vector<std::string> names;
  for (const char* layout : {"nchw", "channels_last"}) {
    for (const char* threads : {"1", "2"}) {
      children.push_back(std::make_unique<Child>(
          std::vector<std::string>{program, s.model, std::to_string(s.batch), threads, layout},
          std::vector<std::pair<std::string, std::string>>{{"OMP_NUM_THREADS", threads}}));
      sides.push_back(side_of(*children.back(), "infer ", s.round_seconds));
      names.push_back(fmt::format("libtorch {}, {} threads", layout, threads));
    }
  }
  const size_t peers = sides.size();
  std::vector<std::unique_ptr<timing::StepBench>> ours;
  const auto add =
      [&](Network network, std::string name, std::optional<Conv2dAlgorithm> dense = {}) {
        ours.push_back(std::make_unique<timing::StepBench>(std::move(network), s.batch));
        sides.push_back(
            repeated(ours.back()->infer_compiled(nn::PlanFormat::Auto, dense), s.round_seconds));
        names.push_back(std::move(name));
      };
  add(fresh_network(s.model), "espalier dense");
  add(fresh_network(s.model), "espalier dense, direct", Conv2dAlgorithm::Direct);
  for (const double sparsity : s.sparsities) {
    for (const char* pattern : {"unstructured", "4x1"}) {
      Network network = fresh_network(s.model);
      timing::mask_randomly(network, {.sparsity = sparsity, .pattern = pattern});
      add(std::move(network), fmt::format("espalier {:.0f} % {}", 100.0 * sparsity, pattern));
    }
  }
  const std::vector<timing::RoundTimes> times = timing::time_in_turns(sides, s.rounds, 0.0);
  double peer = times[0].median();
  for (size_t i = 1; i < peers; ++i) peer = std::min(peer, times[i].median());
  const double dense = times[peers].median();
  const double direct = times[peers + 1].median();
  Json rows = Json::array();
  std::vector<std::vector<std::string>> table = {
      {"", "ms", "spread", "x fastest peer", "x our dense", "x our direct dense"}};
  for (size_t i = 0; i < times.size(); ++i) {
    const double seconds = times[i].median();
    rows.push_back({{"name", names[i]},
                    {"milliseconds", 1e3 * seconds},
                    {"spread", times[i].spread()},
                    {"x_fastest_peer", peer / seconds},
                    {"x_our_dense", dense / seconds},
                    {"x_our_direct_dense", direct / seconds}});
    table.push_back({names[i],
                     fmt::format("{:.3f}", 1e3 * seconds),
                     fmt::format("{:.0f} %", 100.0 * times[i].spread()),
                     fmt::format("{:.2f}", peer / seconds),
                     fmt::format("{:.2f}", dense / seconds),
                     fmt::format("{:.2f}", direct / seconds)});
  }
  std::cout << fmt::format(
                   "\n{}, {} images at once, ours on {} threads\n", s.model, s.batch, num_threads())
            << text_table(table) << std::flush;
  return {{"model", s.model}, {"batch", s.batch}, {"threads", num_threads()}, {"rows", rows}};
}

}  // namespace espalier::experiments::peers
