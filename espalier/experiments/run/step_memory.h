// SPDX-License-Identifier: Apache-2.0
/// The memory of a training's steps, told and held against what is free before the first one.
#pragma once

#include <cstdint>
#include <optional>

#include <espalier/experiments/console.h>
#include <espalier/experiments/inputs/networks.h>
#include <espalier/nn/introspect/training_memory.h>

namespace espalier::experiments {

/// What the steps of a training take.
struct StepMemory {
  nn::TrainingMemory step;  ///< of the network and its optimizer
  int64_t loader = 0;       ///< batches that are made ahead
  int64_t needed() const { return step.needed() + loader; }
};

/// Of steps of `batch` samples, of which a loader makes `ahead` more in advance. `left` is what may
/// be taken to find out.
StepMemory step_memory(Network& network,
                       const nn::Optimizer& optimizer,
                       int64_t batch,
                       int64_t ahead,
                       std::optional<int64_t> left);

/// One line for people; `left` as of core/detail/free_memory.h.
std::string step_memory_text(const StepMemory& memory, int64_t batch, std::optional<int64_t> left);

/// Throws ValueError, with what can be done, where the steps need more than is left. The parameters
/// are there already.
void check_step_memory(const StepMemory& memory,
                       const Network& network,
                       int64_t batch,
                       std::optional<int64_t> left);

}  // namespace espalier::experiments
