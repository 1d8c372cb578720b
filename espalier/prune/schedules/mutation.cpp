// SPDX-License-Identifier: Apache-2.0
/// Mutation: weights die and others grow, as many as a stage of the training says.
#include <espalier/prune/ground/select.h>
#include <espalier/prune/schedules/schedule.h>

namespace espalier::prune {
namespace {

constexpr int64_t kEpochs = 5;  // between updates, of the published code

class MutationSchedule : public Schedule {
 public:
  explicit MutationSchedule(const MutationOptions& options) : options_(options) {
    ESPALIER_CHECK(options.frequency >= 0 && options.fraction >= 0.0 && options.fraction < 1.0 &&
                       options.half_from >= 0.0 && options.half_from <= options.end &&
                       options.end <= 1.0,
                   ValueError,
                   "mutation schedule: expects frequency >= 0, a fraction in 0 .. 1 (1 excluded) "
                   "and 0 <= half-from <= end <= 1, got ",
                   options.frequency,
                   ", ",
                   options.fraction,
                   ", ",
                   options.half_from,
                   " and ",
                   options.end);
  }

  std::vector<Moment> moments(const TrainingLength& length, Sparsity final) const override {
    std::vector<Moment> moments;
    const auto step_at = [&](double part) {
      return guarded_floor(part * static_cast<double>(length.steps));
    };
    const int64_t epochs = kEpochs * std::max<int64_t>(length.steps_per_epoch, 1);
    const int64_t interval = options_.frequency > 0 ? options_.frequency : epochs;
    const int64_t end = step_at(options_.end);
    for (int64_t t = interval; t < end; t += interval) {
      const bool second = t >= step_at(options_.half_from);
      moments.push_back(moment(t, options_.fraction / (second ? 2.0 : 1.0), final));
    }
    moments.push_back(moment(end, 0.0, final));
    return moments;
  }

 private:
  Moment moment(int64_t step, double fraction, Sparsity final) const {
    if (options_.bound == MemoryBound::Hard) {
      return {.step = step, .sparsity = final, .survivors = 1.0 - fraction};
    }
    const double most = std::min(final.density().value() * (1.0 + fraction), 1.0);
    return {.step = step,
            .sparsity = Density(most).sparsity(),
            .survivors = most > 0.0 ? final.density().value() / most : 1.0};
  }

  MutationOptions options_;
};

}  // namespace

std::unique_ptr<Schedule> mutation_schedule(const MutationOptions& options) {
  return std::make_unique<MutationSchedule>(options);
}

}  // namespace espalier::prune
