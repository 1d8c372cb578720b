// SPDX-License-Identifier: Apache-2.0
/// Learning-rate schedules: pure functions of the step, so a resumed run needs no schedule state.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace espalier::nn {

/// The learning rate of each step.
class LrSchedule {
 public:
  virtual ~LrSchedule() = default;
  /// `step` counts from 0 over the whole training of `total_steps`.
  virtual double lr(int64_t step, int64_t total_steps) const = 0;
};

}  // namespace espalier::nn
