// SPDX-License-Identifier: Apache-2.0
/// The figures of `espalier bench train` and `infer` as text, made from what `--json` prints.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include <espalier/experiments/timing/layer_times.h>

namespace espalier::experiments::verbs {

/// Steps between two mask updates of dynamic sparse training (RigL's default).
inline constexpr double kStepsPerUpdate = 100.0;

/// A table of the layers, where they were timed, and the figures of the whole network.
std::string bench_text(timing::Job job, const nlohmann::ordered_json& result);

}  // namespace espalier::experiments::verbs
