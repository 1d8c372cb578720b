// SPDX-License-Identifier: Apache-2.0
/// WeightAverage: an exponential moving average of the weights, which often tells samples apart
/// better than the weights themselves.
#pragma once

#include <memory>

#include <espalier/nn/train/fit.h>

namespace espalier::nn {

/// How WeightAverage averages.
struct WeightAverageOptions {
  double decay = 0.999;  ///< share of the old average at every update, in 0..1
  int64_t every = 1;     ///< steps between updates
  /// The share after t updates is at most (1 + t) / (10 + t), so that the first weights are soon
  /// forgotten.
  bool ramp = true;
  bool use_at_end = true;  ///< at the end of training the average takes the model's place
};

/// average = decay * average + (1 - decay) * weights, after steps; the first update copies.
/// Parameters are averaged; buffers (statistics of batch norms) are not: the model keeps its own.
///
/// Masks: what is masked is zero in the average too. An entry that a mask takes out leaves the
/// average at the next update, whatever it was there; one that comes back begins with its value at
/// that update, not with an average of zeros. So the average of a pruned network is pruned alike.
///
/// State: the averages and the masks that they were made under. Source: the average is Polyak,
/// Juditsky 1992 in its exponential form; the ramp is that of TensorFlow's
/// ExponentialMovingAverage.
class WeightAverage : public TrainHook {
 public:
  /// Throws ValueError for a decay outside of 0..1 or `every` below 1.
  explicit WeightAverage(const WeightAverageOptions& options = {});
  /// The averages by the parameters' names; empty before the first update.
  const std::map<std::string, Tensor>& averages() const { return averages_; }
  /// Exchanges the values of `model` and the averages: to evaluate with these, and back. Values are
  /// zero where the masks of `model` are. Throws ValueError unless the averages are of all
  /// parameters of `model`.
  void swap(Module& model);

  void after_step(TrainState& state) override;
  void end_of_training(TrainState& state) override;
  std::map<std::string, Tensor> state() const override;
  void load_state(const std::map<std::string, Tensor>& state) override;

 private:
  void update(Module& model);

  WeightAverageOptions options_;
  int64_t updates_ = 0;
  std::map<std::string, Tensor> averages_;
  std::map<std::string, Tensor> masks_;  // undefined for dense parameters
};

}  // namespace espalier::nn
