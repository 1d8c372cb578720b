// SPDX-License-Identifier: Apache-2.0
/// One training or inference step of a network on a fixed batch, to be timed: forward, loss,
/// backward, SGD with momentum and weight decay. What `espalier bench train` and `infer` run, and
/// what a peer is compared with.
#pragma once

#include <memory>

#include <espalier/experiments/inputs.h>
#include <espalier/nn/sgd.h>

namespace espalier::experiments {

/// A network, a batch and an optimizer.
class StepBench {
 public:
  /// The batch is random and the same for every network of one image size. Throws ValueError for a
  /// network that is not fed images.
  StepBench(Network network, int64_t batch);

  /// Runs one step; returns the seconds it took.
  double train_step();
  /// Runs one unrecorded forward pass in eval mode; returns the seconds it took.
  double infer();

  /// Multiply-accumulates that kernels execute in a training step: three times those of the forward
  /// pass, without the first layer's gradient of the images.
  int64_t train_macs() const { return train_macs_; }
  /// The same for a forward pass.
  int64_t infer_macs() const { return infer_macs_; }
  Network& network() { return network_; }
  int64_t batch() const { return images_.size(0); }

 private:
  Network network_;
  Tensor images_;
  Tensor labels_;
  std::unique_ptr<nn::Sgd> optimizer_;
  int64_t train_macs_ = 0;
  int64_t infer_macs_ = 0;
};

/// Seconds of rounds of repeated calls.
struct RoundTimes {
  std::vector<double> seconds;  ///< of one call, by round
  double median() const;
  /// (largest - smallest) / median.
  double spread() const;
};

/// Calls of two sides in turn, so that both meet the same neighbours on a shared machine: `rounds`
/// rounds, in each of them as many calls of a side as fill about `round_seconds` (at least one).
/// Every side is called twice beforehand. Each function returns the seconds of one call.
std::vector<RoundTimes> time_in_turns(const std::vector<std::function<double()>>& sides,
                                      int64_t rounds,
                                      double round_seconds);

/// Floating-point operations per second of all threads together with operands in registers only.
double measure_peak();

}  // namespace espalier::experiments
