// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/step_memory.h>

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include <espalier/core/error.h>
#include <espalier/experiments/figures.h>

namespace espalier::experiments {

StepMemory step_memory(Network& network,
                       const nn::Optimizer& optimizer,
                       int64_t batch,
                       int64_t ahead,
                       std::optional<int64_t> left) {
  const Shape sample = network.sample();
  const int64_t room = left.value_or(std::numeric_limits<int64_t>::max());
  return {.step = nn::training_memory(*network.module, optimizer, sample, batch, room),
          .loader = ahead * batch * sample.numel() * item_size(DType::F32)};
}

std::string step_memory_text(const StepMemory& memory, int64_t batch, std::optional<int64_t> left) {
  return fmt::format("a step of {} samples needs about {} of memory, {} of it for activations{}",
                     batch,
                     bytes_text(memory.needed()),
                     bytes_text(memory.step.activations),
                     left ? fmt::format("; {} are free", bytes_text(*left)) : "");
}

void check_step_memory(const StepMemory& memory,
                       const Network& network,
                       int64_t batch,
                       std::optional<int64_t> left) {
  const int64_t more = memory.needed() - memory.step.parameters;
  if (!left || more <= *left) return;
  // All but the optimizer's part goes by the batch, nearly.
  const int64_t fixed = memory.step.optimizer;
  const int64_t fits =
      std::max<int64_t>(0, *left - fixed) * batch / std::max<int64_t>(1, more - fixed);
  throw ValueError(cat("train: ",
                       step_memory_text(memory, batch, left),
                       ". ",
                       fits >= 1 ? cat("About ", fits, " samples fit: give a smaller --batch")
                                 : std::string("Give a smaller --batch"),
                       network.sample().rank() == 3 ? ", --image-size" : ", --context",
                       nn::model_has_widths(network.name) ? " or --width" : "",
                       "; --ignore-memory trains all the same"));
}

}  // namespace espalier::experiments
