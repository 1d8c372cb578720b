// SPDX-License-Identifier: Apache-2.0
/// OneSample: what ops of a network are called with when it runs on one sample. A plan runs them
/// so; the run on the whole example tells whether they keep samples apart. Not a public interface.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <espalier/nn/graph/graph.h>
#include <espalier/nn/plan/steps/plain_ops.h>

namespace espalier::nn::plan {

/// A float32 copy in plain layout.
Tensor plain_tensor(const Tensor& tensor);

/// The network on the first sample of an example; it runs when somebody asks first. Valid while
/// model, example and graph live.
class OneSample {
 public:
  /// `network`: what `model` does with the whole of `input`.
  OneSample(Module& model, const Variable& input, const NetworkGraph& network)
      : model_(model), input_(input), network_(network) {}

  /// How an op is called for one sample.
  struct Call {
    PlainCall plain = {};
    std::vector<int> inputs = {};  ///< values of the network, by operand
    std::string why_not = {};      ///< why a plan can't call it so; empty: it can
  };
  /// Of an op of the network that has a plain form. `is_value` holds for numbers of values that
  /// depend on the network's input.
  Call call(const GraphOp& op, FunctionRef<bool(int)> is_value);
  /// Of a call of an `Embedding`.
  Call embedding(const GraphCall& layer);

 private:
  const NetworkGraph& alone();
  /// The constant of value `at` of the run on one sample, which is `value` of the network.
  Tensor constant(int value, int at, std::string& why_not) const;

  Module& model_;
  const Variable& input_;
  const NetworkGraph& network_;
  std::optional<NetworkGraph> alone_;
};

}  // namespace espalier::nn::plan
