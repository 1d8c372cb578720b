// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <espalier/core/parallel.h>
#include <espalier/core/random.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {
namespace {

constexpr int64_t kPartGrain = 4096;

/// Adds noise to what lives of a weight; every part of it draws numbers of its own.
void add_noise(nn::Parameter& parameter, double deviation, const Rng& rng) {
  const Tensor mask = parameter.mask();
  Tensor& value = parameter.value.value();
  dispatch_floating(value.dtype(), "weight noise", [&](auto zero) {
    using T = decltype(zero);
    T* w = value.data<T>();
    parallel_for(value.numel(), kPartGrain, [&](int64_t begin, int64_t end) {
      Rng own = rng.fork(static_cast<uint64_t>(begin));
      for (int64_t i = begin; i < end; ++i) {
        if (mask.defined() && mask.data<uint8_t>()[i] == 0) continue;
        w[i] = static_cast<T>(static_cast<double>(w[i]) + deviation * own.normal());
      }
    });
  });
}

class WeightNoise : public Action {
 public:
  explicit WeightNoise(const NoiseOptions& options) : options_(options) {
    const bool both = options.temperature > 0.0 && options.final_temperature > 0.0;
    ESPALIER_CHECK(both || options.temperature == 0.0,
                   ValueError,
                   "weight noise: expects temperatures above 0 (or none: 0 at first), got ",
                   options.temperature,
                   " and ",
                   options.final_temperature);
  }

  ActionFacts facts() const override { return {.needs_data = true}; }

  void after_step(const Subject& subject, nn::TrainState& state) override {
    if (options_.temperature == 0.0) return;
    const double passed = static_cast<double>(state.step) / static_cast<double>(state.total_steps);
    const double temperature =
        options_.temperature * std::pow(options_.final_temperature / options_.temperature, passed);
    const double deviation = std::sqrt(2.0 * state.optimizer.lr() * temperature);
    const Rng of_step =
        Rng(subject.inputs.seed, "weight noise").fork(static_cast<uint64_t>(state.step));
    for (const nn::NamedParameter& weight :
         prunable_weights(subject.model, subject.settings.exclude)) {
      add_noise(*weight.parameter, deviation, of_step.fork(stream_id(weight.name)));
    }
  }

 private:
  NoiseOptions options_;
};

}  // namespace

std::shared_ptr<Action> weight_noise(const NoiseOptions& options) {
  return std::make_shared<WeightNoise>(options);
}

}  // namespace espalier::prune
