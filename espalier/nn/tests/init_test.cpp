// SPDX-License-Identifier: Apache-2.0
#include "support.h"

namespace espalier::nn {
namespace {

struct Moments {
  double mean = 0.0;
  double stddev = 0.0;
  double largest = 0.0;
};

Moments moments(const Parameter& p) {
  Moments m;
  const std::vector<double> x = values(p.value.value());
  for (const double v : x) m.mean += v / static_cast<double>(x.size());
  for (const double v : x) {
    m.stddev += (v - m.mean) * (v - m.mean) / static_cast<double>(x.size());
    m.largest = std::max(m.largest, std::abs(v));
  }
  m.stddev = std::sqrt(m.stddev);
  return m;
}

// 64 x 32 x 3 x 3: fan-in 288, fan-out 576; 18432 numbers, so that the standard deviation of a
// sample is within 2 % with certainty for every practical purpose (5 standard errors are 1.9 % and
// less).
Parameter conv_weight() {
  return Parameter(Tensor::empty({64, 32, 3, 3}));
}

TEST(Init, FansMultiplyTheKernelIn) {
  EXPECT_EQ(init::fans({64, 32, 3, 3}).in, 288);
  EXPECT_EQ(init::fans({64, 32, 3, 3}).out, 576);
  EXPECT_EQ(init::fans({5, 7}).in, 7);
  EXPECT_EQ(init::fans({5, 7}).out, 5);
  EXPECT_THROW(init::fans({5}), ShapeError);
}

TEST(Init, KaimingNormalHasTheVarianceOfItsFan) {
  Parameter w = conv_weight();
  init::kaiming_normal(w, Rng(1));
  EXPECT_NEAR(moments(w).stddev / std::sqrt(2.0 / 288), 1.0, 0.03);
  EXPECT_NEAR(moments(w).mean, 0.0, 5 * std::sqrt(2.0 / 288 / 18432));
  init::kaiming_normal(w, Rng(1), init::Fan::Out);
  EXPECT_NEAR(moments(w).stddev / std::sqrt(2.0 / 576), 1.0, 0.03);
  init::kaiming_normal(w, Rng(1), init::Fan::Out, 1.0);
  EXPECT_NEAR(moments(w).stddev / std::sqrt(1.0 / 576), 1.0, 0.03);
}

TEST(Init, UniformKindsReachTheirBoundAndNotBeyond) {
  Parameter w = conv_weight();
  init::kaiming_uniform(w, Rng(1));
  double bound = std::sqrt(6.0 / 288);
  EXPECT_LE(moments(w).largest, bound * (1 + 1e-6));
  EXPECT_GT(moments(w).largest, 0.99 * bound);
  EXPECT_NEAR(moments(w).stddev / (bound / std::sqrt(3.0)), 1.0, 0.03);
  init::xavier_uniform(w, Rng(1), 2.0);
  bound = 2.0 * std::sqrt(6.0 / (288 + 576));
  EXPECT_LE(moments(w).largest, bound * (1 + 1e-6));
  EXPECT_GT(moments(w).largest, 0.99 * bound);
}

TEST(Init, XavierNormalHasTheVarianceOfBothFans) {
  Parameter w = conv_weight();
  init::xavier_normal(w, Rng(1));
  EXPECT_NEAR(moments(w).stddev / std::sqrt(2.0 / (288 + 576)), 1.0, 0.03);
}

TEST(Init, OrthogonalRowsOrColumnsAreOrthonormal) {
  for (const Shape& shape : {Shape{6, 4, 2, 2}, Shape{9, 4}, Shape{5, 5}}) {
    Parameter w(Tensor::empty(shape, DType::F64));
    init::orthogonal(w, Rng(3), 2.0);
    const std::vector<double> x = values(w.value.value());
    const auto rows = static_cast<size_t>(shape[0]);
    const size_t columns = x.size() / rows;
    const bool wide = rows <= columns;
    const size_t count = wide ? rows : columns;
    for (size_t i = 0; i < count; ++i) {
      for (size_t j = 0; j < count; ++j) {
        double dot = 0.0;
        for (size_t k = 0; k < (wide ? columns : rows); ++k) {
          dot += wide ? x[i * columns + k] * x[j * columns + k]
                      : x[k * columns + i] * x[k * columns + j];
        }
        EXPECT_NEAR(dot, i == j ? 4.0 : 0.0, 1e-12);
      }
    }
  }
}

TEST(Init, OrthogonalConvolutionsKeepNormsWhereEdgesMeet) {
  // The sum over places of K_p' K_(p+d) is 1 for d = 0 and 0 for every other shift d; of fewer
  // outputs than inputs the same holds of the transposed matrices.
  struct Kernel {
    Shape shape;
    int64_t groups;
  };
  for (const auto& [shape, groups] : {Kernel{{6, 4, 3, 3}, 1},
                                      Kernel{{5, 5, 2, 3}, 1},
                                      Kernel{{3, 6, 3, 3}, 1},
                                      Kernel{{8, 2, 3, 1}, 2}}) {
    Parameter w(Tensor::empty(shape, DType::F64));
    init::orthogonal_convolution(w, Rng(5), groups, 2.0);
    const std::vector<double> x = values(w.value.value());
    const int64_t outputs = shape[0] / groups;
    const int64_t inputs = shape[1];
    const int64_t rows = shape[2];
    const int64_t columns = shape[3];
    const bool tall = outputs >= inputs;
    int64_t zeros = 0;
    for (const double value : x) zeros += value == 0.0 ? 1 : 0;
    EXPECT_EQ(zeros, 0);
    for (int64_t g = 0; g < groups; ++g) {
      const auto at = [&](int64_t o, int64_t i, int64_t r, int64_t s) {
        if (r < 0 || s < 0 || r >= rows || s >= columns) return 0.0;
        return x[static_cast<size_t>((((g * outputs + o) * inputs + i) * rows + r) * columns + s)];
      };
      for (int64_t dr = 1 - rows; dr < rows; ++dr) {
        for (int64_t ds = 1 - columns; ds < columns; ++ds) {
          for (int64_t a = 0; a < (tall ? inputs : outputs); ++a) {
            for (int64_t b = 0; b < (tall ? inputs : outputs); ++b) {
              double dot = 0.0;
              for (int64_t k = 0; k < (tall ? outputs : inputs); ++k) {
                for (int64_t r = 0; r < rows; ++r) {
                  for (int64_t s = 0; s < columns; ++s) {
                    dot += tall ? at(k, a, r, s) * at(k, b, r + dr, s + ds)
                                : at(a, k, r, s) * at(b, k, r + dr, s + ds);
                  }
                }
              }
              EXPECT_NEAR(dot, a == b && dr == 0 && ds == 0 ? 4.0 : 0.0, 1e-12);
            }
          }
        }
      }
    }
  }
}

TEST(Init, OrthogonalConvolutionsOfOneChannelHaveNormGain) {
  Parameter w(Tensor::empty({4, 1, 3, 3}, DType::F64));
  init::orthogonal_convolution(w, Rng(5), 4, 3.0);
  const std::vector<double> x = values(w.value.value());
  for (size_t o = 0; o < 4; ++o) {
    double squares = 0.0;
    for (size_t i = 0; i < 9; ++i) squares += x[o * 9 + i] * x[o * 9 + i];
    EXPECT_NEAR(squares, 9.0, 1e-12);
  }
}

TEST(Init, TruncatedNormalStaysInsideItsLimit) {
  Parameter w = conv_weight();
  init::truncated_normal(w, Rng(1), 0.0, 0.5, 1.5);
  EXPECT_LE(moments(w).largest, 0.75);
  // Standard deviation of a normal cut at 1.5: sqrt(1 - 2*1.5*phi(1.5)/(2*Phi(1.5)-1)) = 0.7426.
  EXPECT_NEAR(moments(w).stddev / (0.5 * 0.7426), 1.0, 0.03);
  EXPECT_THROW(init::truncated_normal(w, Rng(1), 0.0, 1.0, 0.0), ValueError);
}

TEST(Init, AMaskIsKept) {
  Parameter w(Tensor::ones({9}));
  w.set_mask(two_thirds_mask({9}));
  init::uniform(w, Rng(1), 1.0, 2.0);
  const std::vector<double> x = values(w.value.value());
  for (size_t i = 0; i < x.size(); ++i) {
    if (i % 3 == 0) {
      EXPECT_EQ(x[i], 0.0);
    } else {
      EXPECT_GE(x[i], 1.0);
    }
  }
}

TEST(InitParameters, AreAFunctionOfTheSeed) {
  EXPECT_EQ(snapshot(tiny_net(4)->state_dict()), snapshot(tiny_net(4)->state_dict()));
  EXPECT_NE(values(tiny_net(4)->parameter("fc.weight").value.value()),
            values(tiny_net(5)->parameter("fc.weight").value.value()));
}

TEST(InitParameters, ANewLayerDoesNotChangeTheOthers) {
  Sequential small;
  small.add("a", Linear({.in = 3, .out = 3}));
  small.add("c", Linear({.in = 3, .out = 3}));
  Sequential large;
  large.add("a", Linear({.in = 3, .out = 3}));
  large.add("b", Linear({.in = 3, .out = 3}));
  large.add("c", Linear({.in = 3, .out = 3}));
  init_parameters(small, 1);
  init_parameters(large, 1);
  for (const char* name : {"a.weight", "a.bias", "c.weight", "c.bias"}) {
    EXPECT_EQ(values(small.parameter(name).value.value()),
              values(large.parameter(name).value.value()));
  }
  EXPECT_NE(values(large.parameter("a.weight").value.value()),
            values(large.parameter("b.weight").value.value()));
}

TEST(InitParameters, LayersKeepTheirCustomaryBounds) {
  Conv2d conv({.in_channels = 32, .out_channels = 64});
  EXPECT_LE(moments(conv.weight).largest, 1 / std::sqrt(288.0));
  EXPECT_GT(moments(conv.weight).largest, 0.99 / std::sqrt(288.0));
  Lstm lstm({.in = 40, .hidden = 25});
  EXPECT_LE(moments(lstm.layers[0].weight_ih).largest, 0.2);
  EXPECT_GT(moments(lstm.layers[0].weight_ih).largest, 0.19);
  MultiheadAttention attention({.dim = 32, .heads = 4});
  EXPECT_LE(moments(attention.in_proj_weight).largest, std::sqrt(6.0 / (32 + 96)) * (1 + 1e-6));
  EXPECT_EQ(moments(attention.out_proj.bias).largest, 0.0);
  Embedding table({.count = 500, .dim = 40});
  EXPECT_NEAR(moments(table.weight).stddev, 1.0, 0.03);
}

TEST(InitParameters, DropoutLayersDrawDifferentNumbers) {
  Sequential net(Dropout(0.5), Dropout(0.5));
  init_parameters(net, 1);
  EXPECT_NE(dynamic_cast<Dropout&>(net[0]).rng.next_u32(),
            dynamic_cast<Dropout&>(net[1]).rng.next_u32());
}

TEST(InitParameters, ACompositeHasTheLastWord) {
  class Zeroed : public Sequential {
   public:
    Zeroed() { add("fc", Linear({.in = 2, .out = 2})); }
    void reset_parameters(const InitRng&) override { init::zeros(parameter("fc.weight")); }
  };
  Zeroed net;
  init_parameters(net, 1);
  EXPECT_EQ(moments(net.parameter("fc.weight")).largest, 0.0);
  EXPECT_GT(moments(net.parameter("fc.bias")).largest, 0.0);
}

}  // namespace
}  // namespace espalier::nn
