// SPDX-License-Identifier: Apache-2.0
// Attention and LSTM against plain loops, and their gradients in float64.
#include <espalier/autograd/derivative/gradcheck.h>
#include <espalier/autograd/ops.h>
#include <espalier/nn/introspect/counting.h>

#include "support.h"

namespace espalier::nn {
namespace {

double at(const Parameter& p, int64_t i, int64_t j) {
  return p.value.value().at({i, j});
}
double at(const Parameter& p, int64_t i) {
  return p.value.value().at({i});
}
double sigmoid_of(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

// Equations of arXiv:1706.03762, section 3.2, one number at a time.
std::vector<double> attention_reference(MultiheadAttention& layer, const Tensor& x) {
  const int64_t n = x.size(0), t = x.size(1), dim = x.size(2);
  const int64_t heads = layer.options().heads, d = dim / heads;
  const auto project = [&](int64_t row, int64_t sample, int64_t position) {
    double sum = at(layer.in_proj_bias, row);
    for (int64_t e = 0; e < dim; ++e) {
      sum += at(layer.in_proj_weight, row, e) * x.at({sample, position, e});
    }
    return sum;
  };
  std::vector<double> out;
  for (int64_t b = 0; b < n; ++b) {
    for (int64_t i = 0; i < t; ++i) {
      std::vector<double> mixed(static_cast<size_t>(dim), 0.0);
      const int64_t visible = layer.options().causal ? i + 1 : t;
      for (int64_t h = 0; h < heads; ++h) {
        std::vector<double> weight;
        double total = 0.0;
        for (int64_t j = 0; j < visible; ++j) {
          double score = 0.0;
          for (int64_t e = h * d; e < (h + 1) * d; ++e) {
            score += project(e, b, i) * project(dim + e, b, j);
          }
          weight.push_back(std::exp(score / std::sqrt(static_cast<double>(d))));
          total += weight.back();
        }
        for (int64_t j = 0; j < visible; ++j) {
          for (int64_t e = h * d; e < (h + 1) * d; ++e) {
            mixed[static_cast<size_t>(e)] +=
                weight[static_cast<size_t>(j)] / total * project(2 * dim + e, b, j);
          }
        }
      }
      for (int64_t o = 0; o < dim; ++o) {
        double sum = at(layer.out_proj.bias, o);
        for (int64_t e = 0; e < dim; ++e) {
          sum += at(layer.out_proj.weight, o, e) * mixed[static_cast<size_t>(e)];
        }
        out.push_back(sum);
      }
    }
  }
  return out;
}

MultiheadAttention attention64(bool causal) {
  MultiheadAttention layer({.dim = 4, .heads = 2, .causal = causal});
  init_parameters(layer, 2);
  init::uniform(layer.in_proj_bias, Rng(5), -1, 1);
  layer.to(DType::F64);
  return layer;
}

TEST(MultiheadAttention, IsTheFormulaOfItsPaper) {
  for (const bool causal : {false, true}) {
    MultiheadAttention layer = attention64(causal);
    const Tensor x = random_tensor({2, 3, 4}, 1, DType::F64);
    const std::vector<double> expected = attention_reference(layer, x);
    const std::vector<double> got = values(layer(Variable(x)).value());
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-12);
  }
}

TEST(MultiheadAttention, CausalOutputDoesNotSeeTheFuture) {
  MultiheadAttention layer = attention64(true);
  const Tensor x = random_tensor({1, 5, 4}, 1, DType::F64);
  Tensor changed = x.clone();
  changed.slice(1, 3, 5).fill_(7.0);
  const Tensor a = layer(Variable(x)).value();
  const Tensor b = layer(Variable(changed)).value();
  EXPECT_EQ(values(a.slice(1, 0, 3)), values(b.slice(1, 0, 3)));
  EXPECT_NE(values(a.slice(1, 3, 5)), values(b.slice(1, 3, 5)));
}

TEST(MultiheadAttention, SeparateInputsGiveWhatTheSharedOneGives) {
  MultiheadAttention layer = attention64(false);
  layer.in_proj_weight.set_mask(two_thirds_mask({12, 4}));
  const Tensor x = random_tensor({2, 3, 4}, 1, DType::F64);
  const auto weight_gradient = [&](const Variable& y) {
    layer.zero_grad();
    sum(y * Variable(random_tensor({2, 3, 4}, 9, DType::F64))).backward();
    return layer.in_proj_weight.value.grad().value().clone();
  };
  const Variable shared = layer(Variable(x));
  const Variable apart = layer.attend(Variable(x), Variable(x), Variable(x));
  EXPECT_LT(max_difference(shared.value(), apart.value()), 1e-14);
  for (const auto request : {sparse::GradRequest::Masked, sparse::GradRequest::Dense}) {
    layer.in_proj_weight.grad_request = request;
    const Tensor a = weight_gradient(layer(Variable(x)));
    const Tensor b = weight_gradient(layer.attend(Variable(x), Variable(x), Variable(x)));
    EXPECT_LT(max_difference(a, b), 1e-13);
    EXPECT_EQ(a.at({0, 0}) == 0.0, request == sparse::GradRequest::Masked);
  }
}

TEST(MultiheadAttention, WrongSequencesAreNamed) {
  MultiheadAttention layer({.dim = 4, .heads = 2, .causal = true});
  const auto zeros = [](const Shape& shape) { return Variable(Tensor::zeros(shape)); };
  EXPECT_THROW(layer(zeros({2, 3, 5})), ShapeError);
  EXPECT_THROW(layer(zeros({2, 4})), ShapeError);
  EXPECT_THROW(layer.attend(zeros({2, 3, 4}), zeros({1, 3, 4}), zeros({1, 3, 4})), ShapeError);
  EXPECT_THROW(layer.attend(zeros({2, 3, 4}), zeros({2, 3, 4}), zeros({2, 2, 4})), ShapeError);
  EXPECT_THROW(layer.attend(zeros({2, 3, 4}), zeros({2, 2, 4}), zeros({2, 2, 4})), ShapeError);
}

TEST(MultiheadAttention, NamesAreThoseOfPyTorch) {
  MultiheadAttention layer({.dim = 4, .heads = 2});
  std::vector<std::string> names;
  for (const NamedParameter& p : layer.named_parameters()) names.push_back(p.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{
                "in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"}));
}

// Runs a layer with all parameters replaced by the given variables (after the input).
Variable with_parameters(Module& layer, const std::vector<Variable>& inputs) {
  size_t next = 1;
  for (const NamedParameter& p : layer.named_parameters()) p.parameter->value = inputs[next++];
  return layer(inputs[0]);
}

std::vector<Tensor> input_and_parameters(Module& layer, const Tensor& x) {
  std::vector<Tensor> inputs = {x};
  for (const NamedParameter& p : layer.named_parameters()) {
    inputs.push_back(p.parameter->value.value().clone());
  }
  return inputs;
}

TEST(MultiheadAttention, GradientsAreRight) {
  for (const bool causal : {false, true}) {
    MultiheadAttention layer = attention64(causal);
    const auto inputs = input_and_parameters(layer, random_tensor({2, 3, 4}, 1, DType::F64));
    EXPECT_EQ(gradcheck([&](const auto& in) { return with_parameters(layer, in); }, inputs), "");
  }
}

Lstm lstm64(int64_t layers = 2) {
  Lstm layer({.in = 3, .hidden = 2, .layers = layers});
  init_parameters(layer, 2);
  layer.to(DType::F64);
  return layer;
}

// The cell's equations, one number at a time.
std::vector<double> lstm_reference(const Lstm& lstm, const Tensor& x) {
  const int64_t n = x.size(0), steps = x.size(1), h = lstm.options().hidden;
  std::vector<double> out;
  for (int64_t b = 0; b < n; ++b) {
    std::vector<std::vector<double>> sequence;
    for (int64_t t = 0; t < steps; ++t) {
      sequence.emplace_back();
      for (int64_t e = 0; e < x.size(2); ++e) sequence.back().push_back(x.at({b, t, e}));
    }
    for (const Lstm::Layer& layer : lstm.layers) {
      std::vector<double> hidden(static_cast<size_t>(h), 0.0), cell(static_cast<size_t>(h), 0.0);
      for (auto& input : sequence) {
        const auto gate = [&](int64_t which, int64_t unit) {
          const int64_t row = which * h + unit;
          double sum = at(layer.bias_ih, row) + at(layer.bias_hh, row);
          for (size_t e = 0; e < input.size(); ++e) {
            sum += at(layer.weight_ih, row, static_cast<int64_t>(e)) * input[e];
          }
          for (size_t e = 0; e < hidden.size(); ++e) {
            sum += at(layer.weight_hh, row, static_cast<int64_t>(e)) * hidden[e];
          }
          return sum;
        };
        std::vector<double> next_hidden, next_cell;
        for (int64_t u = 0; u < h; ++u) {
          next_cell.push_back(sigmoid_of(gate(1, u)) * cell[static_cast<size_t>(u)] +
                              sigmoid_of(gate(0, u)) * std::tanh(gate(2, u)));
          next_hidden.push_back(sigmoid_of(gate(3, u)) * std::tanh(next_cell.back()));
        }
        hidden = next_hidden;
        cell = next_cell;
        input = hidden;
      }
    }
    for (const auto& position : sequence) out.insert(out.end(), position.begin(), position.end());
  }
  return out;
}

TEST(Lstm, IsItsEquations) {
  Lstm layer = lstm64();
  const Tensor x = random_tensor({2, 4, 3}, 1, DType::F64);
  const std::vector<double> expected = lstm_reference(layer, x);
  const std::vector<double> got = values(layer(Variable(x)).value());
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-13);
}

TEST(Lstm, ASequenceMayBeRunInPieces) {
  Lstm layer = lstm64();
  const Tensor x = random_tensor({2, 5, 3}, 1, DType::F64);
  const LstmResult whole = layer.run(Variable(x));
  const LstmResult head = layer.run(Variable(x.slice(1, 0, 2).contiguous()));
  const LstmResult tail =
      layer.run(Variable(x.slice(1, 2, 5).contiguous()), head.hidden, head.cell);
  EXPECT_LT(max_difference(whole.output.value().slice(1, 2, 5), tail.output.value()), 1e-14);
  EXPECT_LT(max_difference(whole.hidden.value(), tail.hidden.value()), 1e-14);
  EXPECT_LT(max_difference(whole.cell.value(), tail.cell.value()), 1e-14);
}

TEST(Lstm, GradientsAreRight) {
  Lstm layer = lstm64();
  const auto inputs = input_and_parameters(layer, random_tensor({2, 3, 3}, 1, DType::F64));
  EXPECT_EQ(gradcheck([&](const auto& in) { return with_parameters(layer, in); }, inputs), "");
}

TEST(MultiheadAttention, MasksThatDoNotFitAreNamed) {
  MultiheadAttention layer({.dim = 4, .heads = 2});
  const Variable x(Tensor::zeros({2, 3, 4}));
  const auto with = [&](const AttentionMasks& masks) { layer.attend(x, x, x, masks); };
  EXPECT_THROW(with({.attention = Tensor::zeros({3, 4}, DType::U8)}), ShapeError);
  EXPECT_THROW(with({.attention = Tensor::zeros({4, 3, 3}, DType::U8)}), ShapeError);
  EXPECT_THROW(with({.key_padding = Tensor::zeros({3, 2}, DType::U8)}), ShapeError);
  EXPECT_THROW(with({.attention = Tensor::zeros({3, 3}, DType::I64)}), TypeError);
  EXPECT_THROW(with({.attention = Tensor::full({3, 3}, NAN)}), ValueError);
  EXPECT_THROW(with({.attention = Tensor::full({3, 3}, INFINITY)}), ValueError);
  with({.attention = Tensor::zeros({2, 3, 3}, DType::U8)});
  with({.attention = Tensor::zeros({2, 2, 3, 3}, DType::U8)});
}

TEST(MultiheadAttention, AQueryWithoutAnyKeyIsNamed) {
  MultiheadAttention layer({.dim = 4, .heads = 2});
  const Variable x(Tensor::zeros({2, 3, 4}));
  // Sample 1 has one key, which query 2 may not see.
  const Tensor padding = Tensor::from<uint8_t>({2, 3}, {0, 0, 0, 0, 1, 1});
  const Tensor pairs = Tensor::from<uint8_t>({3, 3}, {0, 0, 0, 0, 0, 0, 1, 0, 0});
  layer.attend(x, x, x, {.attention = pairs});
  layer.attend(x, x, x, {.key_padding = padding});
  const std::string text = message_of<ValueError>(
      [&] { layer.attend(x, x, x, {.attention = pairs, .key_padding = padding}); });
  EXPECT_NE(text.find("query 2 of sample 1"), std::string::npos) << text;
}

TEST(Gru, GradientsAreRight) {
  Gru layer({.in = 3, .hidden = 2, .layers = 2});
  init_parameters(layer, 2);
  layer.to(DType::F64);
  const auto inputs = input_and_parameters(layer, random_tensor({2, 3, 3}, 1, DType::F64));
  EXPECT_EQ(gradcheck([&](const auto& in) { return with_parameters(layer, in); }, inputs), "");
}

TEST(Gru, StatesContinueASequence) {
  Gru layer({.in = 3, .hidden = 2, .layers = 2});
  init_parameters(layer, 2);
  layer.to(DType::F64);
  const Tensor x = random_tensor({2, 5, 3}, 1, DType::F64);
  const GruResult whole = layer.run(Variable(x));
  const GruResult head = layer.run(Variable(x.slice(1, 0, 2).contiguous()));
  const GruResult tail = layer.run(Variable(x.slice(1, 2, 5).contiguous()), head.hidden);
  EXPECT_LT(max_difference(whole.output.value().slice(1, 2, 5), tail.output.value()), 1e-14);
  EXPECT_LT(max_difference(whole.hidden.value(), tail.hidden.value()), 1e-14);
}

TEST(Lstm, NamesAreThoseOfPyTorch) {
  Lstm layer({.in = 3, .hidden = 2, .layers = 2});
  std::vector<std::string> names;
  for (const NamedParameter& p : layer.named_parameters()) names.push_back(p.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"weight_ih_l0",
                                      "weight_hh_l0",
                                      "bias_ih_l0",
                                      "bias_hh_l0",
                                      "weight_ih_l1",
                                      "weight_hh_l1",
                                      "bias_ih_l1",
                                      "bias_hh_l1"}));
}

TEST(Lstm, AllWeightsCountAtEveryPosition) {
  Lstm layer({.in = 3, .hidden = 2, .layers = 2});
  const ModelCount count = count_model(layer, Variable(Tensor::zeros({2, 5, 3})));
  // 8 rows of gates over 3, 2, 2 and 2 columns, at 5 positions.
  EXPECT_EQ(count.total.weights, 8 * (3 + 2 + 2 + 2));
  EXPECT_EQ(count.total.macs_dense, 5 * 8 * (3 + 2 + 2 + 2));
}

TEST(Lstm, WrongSequencesAndStatesAreNamed) {
  Lstm layer({.in = 3, .hidden = 2});
  EXPECT_THROW(layer(Variable(Tensor::zeros({2, 4, 2}))), ShapeError);
  EXPECT_THROW(layer(Variable(Tensor::zeros({2, 0, 3}))), ShapeError);
  EXPECT_THROW(layer.run(Variable(Tensor::zeros({2, 4, 3})), Variable(Tensor::zeros({1, 1, 2}))),
               ShapeError);
}

}  // namespace
}  // namespace espalier::nn
