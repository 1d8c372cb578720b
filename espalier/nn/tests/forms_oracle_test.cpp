// SPDX-License-Identifier: Apache-2.0
// Forms and a gated block against PyTorch, in float64; see oracles/forms.py.
#include <espalier/autograd/ops.h>
#include <espalier/autograd/tests/oracle.h>
#include <espalier/nn/forms/hard_concrete.h>
#include <espalier/nn/forms/straight_through.h>
#include <espalier/nn/forms/supermask.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/layers/residual.h>

#include "support.h"

namespace espalier::nn {
namespace {

Variable leaf(const Shape& shape, int64_t seed) {
  return Variable(made(shape, seed), true);
}

void set(Parameter& parameter, const Tensor& value) {
  parameter.value = Variable(value, true);
}

/// The convolution of the script, in float64.
struct Convolution {
  Convolution() : layer({.in_channels = 4, .out_channels = 4, .kernel = 2, .padding = 1}) {
    set(layer.weight, made({4, 4, 2, 2}, 2));
    set(layer.bias, made({4}, 3));
  }
  Variable operator()() { return layer(x); }
  const Variable& weight() const { return layer.weight.value; }

  Conv2d layer;
  Variable x = leaf({1, 4, 3, 3}, 1);
};

/// The linear layer of the script.
struct Product {
  Product() : layer({.in = 8, .out = 3, .bias = false}) { set(layer.weight, made({3, 8}, 6)); }
  Variable operator()() { return layer(x); }

  Linear layer;
  Variable x = leaf({5, 8}, 4);
};

void check_supermask(Oracle& oracle) {
  Convolution conv;
  auto form = std::make_shared<Supermask>(conv.layer.weight.shape(), 24);
  set(form->scores, made({4, 4, 2, 2}, 5));
  conv.layer.form = form;
  oracle.expect("supermask", conv(), {conv.x, form->scores.value});
  Product product;
  form = std::make_shared<Supermask>(product.layer.weight.shape(), 7);
  set(form->scores, made({3, 8}, 8));
  product.layer.form = form;
  oracle.expect("supermask.linear", product(), {product.x, form->scores.value});
}

void check_straight_through(Oracle& oracle) {
  Convolution conv;
  const auto put = [&](const StraightThrough::Options& options) {
    conv.layer.form = std::make_shared<StraightThrough>(conv.layer.weight.shape(), options);
  };
  put({.pattern = {.keep = 2, .of = 4}, .decay = 0.25});
  oracle.expect("straight_through", conv(), {conv.x, conv.weight()});
  put({.pattern = {.keep = 1, .of = 2, .group = 2}, .decay = 0.5});
  oracle.expect("straight_through.group", conv(), {conv.x, conv.weight()});
  Product product;
  product.layer.form = std::make_shared<StraightThrough>(
      product.layer.weight.shape(),
      StraightThrough::Options{.pattern = {.keep = 3, .of = 8}, .decay = 0.0});
  oracle.expect("straight_through.linear", product(), {product.x, product.layer.weight.value});
}

void check_hard_concrete(Oracle& oracle) {
  using Grain = HardConcrete::Grain;
  const std::pair<Grain, std::string> grains[] = {
      {Grain::Weights, "weights"}, {Grain::Outputs, "outputs"}, {Grain::Inputs, "inputs"}};
  for (const auto& [grain, name] : grains) {
    Convolution conv;
    auto form = std::make_shared<HardConcrete>(conv.layer.weight.shape(),
                                               HardConcrete::Options{.grain = grain});
    Tensor log_alpha = made(form->log_alpha.shape(), 9);
    for (int64_t i = 0; i < log_alpha.numel(); ++i) log_alpha.data<double>()[i] *= 4.0;
    set(form->log_alpha, log_alpha);
    conv.layer.form = form;
    conv.layer.eval();
    const Variable& a = form->log_alpha.value;
    oracle.expect("hard_concrete." + name, conv(), {conv.x, conv.weight(), a});
    oracle.expect("hard_concrete." + name + ".penalty",
                  reshape(form->penalty(conv.layer.weight, 0.3, 0.7), {1}),
                  {conv.weight(), a});
  }
}

void check_samples(Oracle& oracle) {
  const Tensor a = made({8, 1}, 10), u = made({1, 7}, 11);
  Tensor z = Tensor::empty({8, 7}, DType::F64), dz = Tensor::empty({8, 7}, DType::F64);
  for (int64_t i = 0; i < z.numel(); ++i) {
    const double noise = std::clamp(std::abs(u.data<double>()[i % 7]), 1e-6, 1.0 - 1e-6);
    const auto gate = hard_concrete::sample(4.0 * a.data<double>()[i / 7], noise);
    z.data<double>()[i] = gate.z;
    dz.data<double>()[i] = gate.dz;
  }
  oracle.expect("hard_concrete.samples", z);
  oracle.expect("hard_concrete.slopes", dz);
}

void check_block(Oracle& oracle) {
  auto conv = std::make_shared<Conv2d>(Conv2d::Options{
      .in_channels = 4, .out_channels = 4, .kernel = 3, .padding = 1, .bias = false});
  set(conv->weight, made({4, 4, 3, 3}, 16));
  Residual block({.main = conv});
  auto head = std::make_shared<Head>(Head::Options{.inputs = 4});
  set(head->weight, made({1, 4}, 13));
  set(head->bias, made({1}, 131));
  add_block_gate(block_sites(block).front(), head);
  const Variable x = leaf({3, 4, 2, 2}, 15);
  oracle.expect("block.open", (*head)(x));
  oracle.expect("block", block(x), {x, head->weight.value, head->bias.value, conv->weight.value});
}

TEST(FormsOracle, FormsComputeWhatPyTorchDoes) {
  Oracle oracle(ESPALIER_ORACLES, "forms");
  check_supermask(oracle);
  check_straight_through(oracle);
  check_hard_concrete(oracle);
  check_samples(oracle);
  check_block(oracle);
  oracle.expect_all_used();
}

}  // namespace
}  // namespace espalier::nn
