// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/comparisons/speeds.h>

#include <nlohmann/json.hpp>

#include <espalier/core/detail/json.h>
#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/run/run_files.h>
#include <espalier/experiments/timing/step_bench.h>
#include <espalier/prune/structure/shrink.h>

namespace espalier::experiments::comparisons {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int64_t kRounds = 5;
constexpr int64_t kMostBytes = 1 << 16;  // of speed.json

/// What each side of a measurement takes.
struct Pair {
  double dense;
  double own;
};

Network dense_twin(const Network& network) {
  Network twin{.name = network.name, .options = network.options, .module = nullptr};
  twin.module = nn::make_model(twin.name, twin.options);
  return twin;
}

Network deployed(const fs::path& folder, bool structured, bool& shrunk) {
  Network network = load_network(folder / kModelFile);
  if (structured) {
    const prune::ResizeReport report =
        prune::shrink(*network.module, nn::example_input(network.name, network.options));
    shrunk = report.channels < report.channels_before;
  }
  return network;
}

timing::Side inference(timing::StepBench& bench) {
  try {
    return bench.infer_compiled();
  } catch (const NotImplemented&) {
    return bench.infer();
  }
}

Pair seconds_of(timing::StepBench& dense, timing::StepBench& own, double round_seconds) {
  const auto times =
      timing::time_in_turns({inference(dense), inference(own)}, kRounds, round_seconds);
  return {times[0].median(), times[1].median()};
}

RunSpeed measure_speed(const fs::path& folder, const SpeedJob& job) {
  RunSpeed out;
  const Tensor images = job.images().to(Layout::Nchw);
  const int64_t batch = images.size(0);
  {
    Network own = deployed(folder, job.structured, out.shrunk);
    timing::StepBench dense(dense_twin(own), images);
    timing::StepBench bench(std::move(own), images);
    const Pair seconds = seconds_of(dense, bench, job.round_seconds);
    out.images_per_second = static_cast<double>(batch) / seconds.own;
    out.images_per_second_dense = static_cast<double>(batch) / seconds.dense;
    out.macs_executed = bench.infer_macs() / batch;
    out.macs_dense = dense.infer_macs() / batch;
  }
  const Tensor one = images.slice(0, 0, 1);
  Network own = deployed(folder, job.structured, out.shrunk);
  timing::StepBench dense(dense_twin(own), one);
  timing::StepBench bench(std::move(own), one);
  const Pair seconds = seconds_of(dense, bench, job.round_seconds);
  out.one_image_ms = 1e3 * seconds.own;
  out.one_image_ms_dense = 1e3 * seconds.dense;
  return out;
}

Json to_json(const RunSpeed& speed) {
  return {{"batch", kSpeedBatch},
          {"images_per_second", speed.images_per_second},
          {"images_per_second_dense", speed.images_per_second_dense},
          {"one_image_ms", speed.one_image_ms},
          {"one_image_ms_dense", speed.one_image_ms_dense},
          {"macs_executed", speed.macs_executed},
          {"macs_dense", speed.macs_dense},
          {"shrunk", speed.shrunk}};
}

RunSpeed from_json(const Json& json) {
  return {.images_per_second = json.at("images_per_second").get<double>(),
          .images_per_second_dense = json.at("images_per_second_dense").get<double>(),
          .one_image_ms = json.at("one_image_ms").get<double>(),
          .one_image_ms_dense = json.at("one_image_ms_dense").get<double>(),
          .macs_executed = json.at("macs_executed").get<int64_t>(),
          .macs_dense = json.at("macs_dense").get<int64_t>(),
          .shrunk = json.at("shrunk").get<bool>()};
}

}  // namespace

RunSpeed run_speed(const fs::path& folder, const SpeedJob& job) {
  const fs::path file = folder / "speed.json";
  if (fs::exists(file)) {
    try {
      return from_json(espalier::detail::parse_json<Json>(read_file(file, "experiment", kMostBytes),
                                                          cat("experiment: ", file.string())));
    } catch (const Json::exception& error) {
      throw IoError(cat(file.string(),
                        ": ",
                        espalier::detail::json_words(error),
                        ". Remove it to measure again"));
    }
  }
  const RunSpeed speed = measure_speed(folder, job);
  write_file(file, to_json(speed).dump(2) + "\n");
  return speed;
}

}  // namespace espalier::experiments::comparisons
