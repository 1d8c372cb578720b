// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/verbs/bench_text.h>

#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/experiments/figures.h>

namespace espalier::experiments::verbs {
namespace {

using Json = nlohmann::ordered_json;

std::string layers_text(const Json& layers) {
  std::vector<std::vector<std::string>> table = {
      {"layer", "density", "kernel", "ms", "ms dense", "reason"}};
  for (const Json& layer : layers) {
    table.push_back({layer.at("name").get<std::string>(),
                     fmt::format("{:.3f}", layer.at("density").get<double>()),
                     layer.at("kernel").get<std::string>(),
                     fmt::format("{:.3f}", layer.at("milliseconds").get<double>()),
                     fmt::format("{:.3f}", layer.at("milliseconds_dense").get<double>()),
                     layer.at("reason").get<std::string>()});
  }
  return text_table(table);
}

std::string mask_update_text(const Json& result) {
  if (!result.contains("mask_update_share")) return "";
  if (result.at("mask_update_share").is_null()) {
    return fmt::format("mask update  not told apart from none: chance is worth {:.2f} ms here\n",
                       result.at("mask_update_noise_milliseconds").get<double>());
  }
  return fmt::format(
      "mask update  {:.1f} ms more than a step: {:.1f} % when every {:.0f}th step has one\n",
      result.at("mask_update_milliseconds").get<double>(),
      100.0 * result.at("mask_update_share").get<double>(),
      kStepsPerUpdate);
}

std::string planes_text(const Json& result) {
  if (!result.contains("speedup_over_planes")) return "";
  return fmt::format("             {:.2f} x over our dense, image by image in planes ({:.3f} ms)\n",
                     result.at("speedup_over_planes").get<double>(),
                     result.at("milliseconds_dense_planes").get<double>());
}

}  // namespace

std::string bench_text(timing::Job job, const Json& result) {
  const auto number = [&](const char* key) { return result.at(key).get<double>(); };
  return (result.at("layers").empty() ? "" : layers_text(result.at("layers"))) +
         fmt::format(
             "{} {}, batch {}, {} threads, {} {:.1f} %, layout {}\n"
             "images/s     {:.0f}   (dense {:.0f})\n"
             "a step       {:.3f} ms, spread {:.0f} %   (dense {:.3f} ms, {:.0f} %)\n"
             "speed-up     {:.2f} x over our dense, {:.2f} x over our direct dense ({:.3f} ms)\n"
             "{}"
             "share        {:.1f} % of {:.0f} GFLOP/s (multiply-adds {})\n",
             job == timing::Job::Train           ? "training"
             : result.at("compiled").get<bool>() ? "compiled inference"
                                                 : "inference",
             result.at("model").get<std::string>(),
             result.at("batch").get<int64_t>(),
             result.at("threads").get<int64_t>(),
             result.at("pattern").get<std::string>(),
             100.0 * number("sparsity"),
             result.at("layout").get<std::string>(),
             number("images_per_second"),
             number("images_per_second_dense"),
             number("milliseconds"),
             100.0 * number("spread"),
             number("milliseconds_dense"),
             100.0 * number("spread_dense"),
             number("speedup"),
             number("speedup_over_direct"),
             number("milliseconds_dense_direct"),
             planes_text(result),
             100.0 * number("share_of_peak"),
             number("peak_gflops"),
             result.at("gated").get<bool>() ? "executed" : "with kept weights") +
         mask_update_text(result);
}

}  // namespace espalier::experiments::verbs
