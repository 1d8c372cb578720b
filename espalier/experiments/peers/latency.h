// SPDX-License-Identifier: Apache-2.0
/// Inference: one image or a batch at a time, ours compiled, against libtorch at the better of its
/// layouts and thread counts.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace espalier::experiments::peers {

/// What is compared.
struct LatencySettings {
  std::string model;
  int64_t batch;
  std::vector<double> sparsities;
  int64_t rounds;
  double round_seconds;
};

/// Times libtorch (both layouts, 1 and 2 threads) and our plans (dense as chosen and direct,
/// unstructured and 4x1 at each sparsity, on the threads that are set) in turns, prints a table and
/// gives the figures.
nlohmann::ordered_json compare_latency(const LatencySettings& settings);

}  // namespace espalier::experiments::peers
