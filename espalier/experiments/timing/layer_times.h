// SPDX-License-Identifier: Apache-2.0
/// What each layer of a network runs and costs, as JSON: in `bench --json` and in the run.json of a
/// finished training.
#pragma once

#include <cstdint>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <espalier/experiments/inputs/inputs.h>
#include <espalier/nn/introspect/explain.h>

namespace espalier::experiments::timing {

/// What a network does when it is timed.
enum class Job : uint8_t { Train, Infer };

/// A list with an object a layer: `name`, `kind`, `density`, `kernel`, `milliseconds` (of what
/// runs), `milliseconds_dense`, `reason`. Train: forward and both gradients together.
nlohmann::ordered_json layers_json(const std::vector<nn::LayerExplanation>& layers, Job job);

/// Times the layers of a network at training on random images: `job`, `batch`, `layers` as above.
/// Masks, weights and buffers stay what they are.
nlohmann::ordered_json time_layers(Network& network, int64_t batch);

}  // namespace espalier::experiments::timing
