// SPDX-License-Identifier: Apache-2.0
/// Phases: sparse and dense training in turns.
///
/// Source: Peste, Iofinova, Vladu, Alistarh, arXiv 2106.12379, section 3 and the settings of its
/// published code.
#include <espalier/prune/ground/select.h>
#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {
namespace {

/// Where a phase begins.
struct Start {
  int64_t step;
  Phase phase;
};

class PhasesSchedule : public Schedule {
 public:
  PhasesSchedule(Phase which, const PhaseOptions& options) : which_(which), options_(options) {
    ESPALIER_CHECK(options.begin >= 0.0 && options.begin <= options.last && options.last <= 1.0 &&
                       options.length > 0.0 && options.length <= 1.0,
                   ValueError,
                   "phases schedule: expects 0 <= begin <= last <= 1 and 0 < length <= 1, got ",
                   options.begin,
                   ", ",
                   options.last,
                   " and ",
                   options.length);
  }

  std::vector<Moment> moments(const TrainingLength& length, Sparsity final) const override {
    std::vector<Moment> moments;
    for (const Start& start : starts(length.steps)) {
      if (start.phase != which_) continue;
      moments.push_back(
          {.step = start.step, .sparsity = start.phase == Phase::Sparse ? final : Sparsity(0.0)});
    }
    return moments;
  }

 private:
  /// In turns, and no phase without a step.
  std::vector<Start> starts(int64_t steps) const {
    std::vector<Start> result;
    const auto add = [&](double at, Phase phase) {
      const int64_t step = guarded_floor(at * static_cast<double>(steps));
      while (!result.empty() && result.back().step >= step) result.pop_back();
      if (result.empty() ? phase == Phase::Sparse : result.back().phase != phase) {
        result.push_back({step, phase});
      }
    };
    // The last dense phase is at least as long as the others.
    const int64_t pairs = guarded_floor((options_.last - options_.begin) / (2.0 * options_.length));
    for (int64_t pair = 0; pair < pairs; ++pair) {
      const double at = options_.begin + 2.0 * options_.length * static_cast<double>(pair);
      add(at, Phase::Sparse);
      add(at + options_.length, Phase::Dense);
    }
    add(options_.last, Phase::Sparse);
    return result;
  }

  Phase which_;
  PhaseOptions options_;
};

}  // namespace

std::unique_ptr<Schedule> phases_schedule(Phase which, const PhaseOptions& options) {
  return std::make_unique<PhasesSchedule>(which, options);
}

}  // namespace espalier::prune
