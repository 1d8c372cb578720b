// SPDX-License-Identifier: Apache-2.0
// Layers and AMSGrad against PyTorch's, in float64; see oracles/layers.py and oracles/amsgrad.py.
#include <espalier/autograd/tests/oracle.h>
#include <espalier/nn/train/adam.h>

#include "support.h"

namespace espalier::nn {
namespace {

/// As `fill` of oracles/oracle.py.
void fill(Module& module) {
  module.to(DType::F64);
  for (const NamedParameter& p : module.named_parameters()) {
    int64_t seed = 0;
    for (const char letter : p.name) seed += letter;
    p.parameter->value.value() = made(p.parameter->shape(), seed);
  }
}

std::vector<Variable> with_parameters(std::vector<Variable> inputs, Module& module) {
  for (const NamedParameter& p : module.named_parameters()) inputs.push_back(p.parameter->value);
  return inputs;
}

Variable leaf(const Shape& shape, int64_t seed) {
  return Variable(made(shape, seed), true);
}

class LayersOracle : public ::testing::Test {
 protected:
  void run(const std::string& name, Module& module, const Variable& x) {
    fill(module);
    oracle.expect(name, module(x), with_parameters({x}, module));
  }
  static inline Oracle oracle{ESPALIER_ORACLES, "layers"};
};

TEST_F(LayersOracle, NormsWithoutAffine) {
  const Variable planes = leaf({3, 4, 2, 2}, 1);
  BatchNorm2d norm({.channels = 4, .affine = false});
  run("batch_norm", norm, planes);
  oracle.expect("batch_norm.mean", norm.running_mean);
  oracle.expect("batch_norm.var", norm.running_var);
  norm.eval();
  run("batch_norm.eval", norm, planes);
  GroupNorm group({.groups = 2, .channels = 4, .affine = false});
  run("group_norm", group, planes);
  LayerNorm layer({.shape = {2, 2}, .affine = false});
  run("layer_norm", layer, planes);
}

TEST_F(LayersOracle, Convolutions) {
  const Variable sequence = leaf({2, 4, 7}, 2);
  Conv1d plain({.in_channels = 4, .out_channels = 3});
  run("conv1d", plain, sequence);
  Conv1d all({.in_channels = 4,
              .out_channels = 6,
              .kernel = 2,
              .stride = 2,
              .padding = 1,
              .dilation = 3,
              .groups = 2,
              .bias = false});
  run("conv1d.all", all, sequence);
  ConvTranspose2d transpose({.in_channels = 4,
                             .out_channels = 2,
                             .stride = 2,
                             .padding = 1,
                             .output_padding = 1,
                             .groups = 2});
  run("transpose", transpose, leaf({2, 4, 3, 2}, 3));
}

TEST_F(LayersOracle, GruOfTwoLayers) {
  const Variable steps = leaf({2, 3, 3}, 4), state = leaf({2, 2, 2}, 5);
  Gru gru({.in = 3, .hidden = 2, .layers = 2});
  fill(gru);
  oracle.expect("gru", gru.run(steps, state).output, with_parameters({steps, state}, gru));
  oracle.expect("gru.hidden", gru.run(steps, state).hidden, {steps, state});
  oracle.expect("gru.zeros", gru(steps), {steps});
}

TEST_F(LayersOracle, AttentionWithMasks) {
  MultiheadAttention heads({.dim = 4, .heads = 2});
  MultiheadAttention causal({.dim = 4, .heads = 2, .causal = true});
  fill(heads);
  fill(causal);
  const Variable x = leaf({2, 3, 4}, 6), memory = leaf({2, 5, 4}, 8);
  const Tensor pairs = Tensor::from<uint8_t>({3, 3}, {0, 1, 0, 0, 0, 1, 1, 0, 0});
  const Tensor padding = Tensor::from<uint8_t>({2, 3}, {0, 0, 1, 0, 1, 0});
  const auto self = [&](const std::string& name, const AttentionMasks& masks) {
    oracle.expect("attention" + name, heads.attend(x, x, x, masks), {x});
  };
  self("", {});
  self(".pairs", {.attention = pairs});
  self(".padding", {.key_padding = padding});
  self(".added", {.attention = made({3, 3}, 9)});
  // PyTorch has a row of (N * heads) there.
  self(".each", {.attention = made({4, 3, 3}, 10).reshape({2, 2, 3, 3})});
  self(".both", {.attention = made({3, 3}, 9), .key_padding = padding});
  oracle.expect(
      "attention.causal",
      causal.attend(x, x, x, {.key_padding = Tensor::from<uint8_t>({2, 3}, {0, 0, 1, 0, 1, 1})}),
      {x});
  oracle.expect(
      "attention.memory",
      heads.attend(x,
                   memory,
                   memory,
                   {.key_padding = Tensor::from<uint8_t>({2, 5}, {0, 0, 0, 1, 1, 0, 0, 0, 0, 1})}),
      {x, memory});
}

TEST(AmsgradOracle, TwelveSteps) {
  Oracle oracle(ESPALIER_ORACLES, "amsgrad");
  for (const bool decoupled : {false, true}) {
    const std::string name = decoupled ? "adamw" : "adam";
    Parameter w(made({2, 3}, 1));
    Adam adam(
        {{.parameters = {{"w", &w}}, .weight_decay = 0.1}},
        {.lr = 0.05, .beta1 = 0.8, .beta2 = 0.9, .decoupled_decay = decoupled, .amsgrad = true});
    for (int64_t step = 0; step < 12; ++step) {
      Tensor gradient = made({2, 3}, step + 2);
      for (int64_t i = 0; i < 6; ++i) gradient.data<double>()[i] *= step % 5 == 1 ? 3.0 : 0.2;
      w.value.set_grad(Variable(gradient));
      adam.step();
      oracle.expect(cat(name, ".", step), w.value.value());
    }
    oracle.expect(name + ".largest", adam.slots("w").at("max_exp_avg_sq"));
  }
  oracle.expect_all_used();
}

}  // namespace
}  // namespace espalier::nn
