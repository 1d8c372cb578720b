// SPDX-License-Identifier: Apache-2.0
// Affine grids by hand; the int8 kernels against plain loops, to the last bit.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/core/random.h>
#include <espalier/core/simd.h>
#include <espalier/sparse/kernels/int8_conv2d.h>

namespace espalier::sparse {
namespace {

TEST(AffineGrid, ByHand) {
  const AffineGrid grid = affine_grid(-1.0, 2.0);
  EXPECT_NEAR(grid.scale, 0.0117647, 1e-7);
  EXPECT_EQ(grid.zero, 85);
  const std::vector<float> x = {-1.0F, 0.0F, 0.4F, 2.0F};
  const std::vector<int> q = {0, 85, 119, 255};
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(grid.quantize(x[i]), q[i]);
    EXPECT_NEAR(grid.dequantize(grid.quantize(x[i])), x[i], 1e-6);
  }
}

TEST(AffineGrid, ZeroIsExactOnEveryGrid) {
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{
           {0.3, 1.0}, {-5.0, -0.1}, {-0.37, 1.91}, {0.0, 0.0}, {-1e-45, 1e-45}, {-3e4, 1e-3}}) {
    const AffineGrid grid = affine_grid(low, high);
    EXPECT_EQ(grid.dequantize(grid.quantize(0.0F)), 0.0F) << low << " " << high;
    EXPECT_GE(grid.zero, 0);
    EXPECT_LE(grid.zero, 255);
    EXPECT_GT(grid.scale, 0.0F);
  }
  EXPECT_THROW(affine_grid(1.0, 0.0), ValueError);
  EXPECT_THROW(affine_grid(0.0, INFINITY), ValueError);
}

TEST(AffineGrid, CutsWhatIsOutsideAndRoundsHalvesToEven) {
  const AffineGrid grid{.scale = 0.5F, .zero = 10};
  EXPECT_EQ(grid.quantize(-1e30F), 0);
  EXPECT_EQ(grid.quantize(1e30F), 255);
  EXPECT_EQ(grid.quantize(0.25F), 10);  // 0.5 steps
  EXPECT_EQ(grid.quantize(0.75F), 12);  // 1.5 steps
  EXPECT_EQ(grid.quantize(-0.25F), 10);
}

TEST(Int8Weight, HasAScalePerOutputChannelAndKeepsZeros) {
  const Tensor w = Tensor::from<float>({3, 3}, {1.27F, 0, -0.64F, 0, 0, 0, 1e-4F, -1e-2F, 0});
  const Int8Weight q = quantize_weight(w);
  EXPECT_EQ(q.q, (std::vector<int8_t>{127, 0, -64, 0, 0, 0, 1, -127, 0}));
  EXPECT_NEAR(q.scale[0], 0.01, 1e-8);
  EXPECT_EQ(q.scale[1], 1.0F);  // a pruned channel
  EXPECT_EQ(q.sums, (std::vector<int32_t>{63, 0, -126}));
  EXPECT_EQ(q.nonzero(), 4);
  EXPECT_NEAR(dequantize(q).at({0, 2}), -0.64, 1e-6);
}

TEST(Int8Weight, RoundingMayAddZerosNeverRemoveOne) {
  Tensor w = Tensor::empty({8, 200});
  Rng rng(3, "test");
  fill_normal_(w, rng, 0.0, 1.0);
  float* values = w.data<float>();
  for (int64_t i = 0; i < w.numel(); i += 3) values[i] = 0.0F;
  values[1] = 1e-6F;  // rounds to zero beside numbers of size 1
  const Int8Weight q = quantize_weight(w);
  int64_t nonzero = 0;
  for (int64_t i = 0; i < w.numel(); ++i) {
    if (values[i] == 0.0F) {
      EXPECT_EQ(q.q[static_cast<size_t>(i)], 0);
    }
    nonzero += values[i] != 0.0F ? 1 : 0;
  }
  EXPECT_LT(q.nonzero(), nonzero);
}

TEST(Int8Weight, RefusesWhatItCannotHold) {
  EXPECT_THROW(quantize_weight(Tensor::ones({2, 2}, DType::F64)), TypeError);
  EXPECT_THROW(quantize_weight(Tensor::full({2, 2}, NAN)), ValueError);
  EXPECT_THROW(quantize_weight(Tensor::ones({1, 40'000})), ValueError);
}

// (q-1)/2 scaled dot product of the card: x = [1,3] at 1/2, w = [.5,-.25] at 1/4.
TEST(Int8Conv2d, DotProductByHand) {
  const Tensor x = Tensor::from<float>({1, 2, 1, 1}, {1.0F, 3.0F}).to(Layout::Nchw16n);
  const Int8Weight w{.shape = {1, 2, 1, 1}, .q = {2, -1}, .scale = {0.25F}, .sums = {1}};
  const Conv2dShape shape = conv2d_shape({1, 2, 1, 1}, w.shape, {}, "test");
  Tensor y = Tensor::empty({1, 1, 1, 1}, DType::F32, Layout::Nchw16n);
  int8_conv2d(shape, x, {.scale = 0.5F, .zero = 0}, w, int8_blocks(w, 1), {}, y);
  EXPECT_EQ(y.item(), -0.25);
}

struct Case {
  const char* name;
  Shape x;
  Shape w;
  Conv2dOptions options;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> list = {
      {"usual", {17, 8, 7, 9}, {12, 8, 3, 3}, {.padding = 1}},
      {"channels not of four", {5, 6, 5, 5}, {7, 6, 3, 3}, {.padding = 1}},
      {"stride", {16, 4, 9, 8}, {8, 4, 3, 3}, {.stride = 2, .padding = 1}},
      {"one by one, stride", {3, 5, 8, 8}, {4, 5, 1, 1}, {.stride = 2}},
      {"dilation", {2, 3, 11, 13}, {5, 3, 3, 3}, {.padding = 2, .dilation = 2}},
      {"large kernel", {18, 1, 28, 28}, {6, 1, 5, 5}, {}},
      {"groups", {4, 12, 6, 6}, {6, 6, 3, 3}, {.padding = 1, .groups = 2}},
      {"odd groups", {4, 6, 5, 5}, {4, 3, 3, 3}, {.padding = 1, .groups = 2}},
      {"depthwise", {4, 6, 6, 6}, {6, 1, 3, 3}, {.padding = 1, .groups = 6}},
      {"linear", {33, 50, 1, 1}, {70, 50, 1, 1}, {}},
      {"wide padding", {2, 4, 3, 3}, {4, 4, 3, 3}, {.padding = 3}},
  };
  return list;
}

struct Operands {
  Conv2dShape shape;
  Tensor x;
  Int8Weight weight;
  Tensor bias;
  AffineGrid grid;
};

Operands operands(const Case& c, double density) {
  Rng rng(9, c.name);
  Tensor x = Tensor::empty(c.x);
  fill_normal_(x, rng, 0.2, 1.0);
  Tensor w = Tensor::empty(c.w);
  fill_normal_(w, rng, 0.0, 0.3);
  for (int64_t i = 0; i < w.numel(); ++i) {
    if (rng.uniform() >= density) w.data<float>()[i] = 0.0F;
  }
  Tensor bias = Tensor::empty({c.w[0]});
  fill_normal_(bias, rng, 0.0, 1.0);
  return {conv2d_shape(c.x, c.w, c.options, "test"),
          x.to(Layout::Nchw16n),
          quantize_weight(w),
          bias,
          affine_grid(-1.5, 2.5)};
}

Tensor run(const Operands& o, const Tensor& bias) {
  Tensor y =
      Tensor::full({o.shape.n, o.shape.k, o.shape.p, o.shape.q}, 7.0, DType::F32, Layout::Nchw16n);
  int8_conv2d(
      o.shape, o.x, o.grid, o.weight, int8_blocks(o.weight, o.shape.options.groups), bias, y);
  return y;
}

TEST(Int8Conv2d, EqualsPlainLoopsToTheBitAtEveryDensity) {
  for (const Case& c : cases()) {
    for (const double density : {0.0, 0.02, 0.1, 0.5, 1.0}) {
      const Operands o = operands(c, density);
      for (const Tensor& bias : {o.bias, Tensor()}) {
        const Tensor y = run(o, bias);
        Tensor expected = Tensor::empty_like(y);
        reference::int8_conv2d(o.shape, o.x, o.grid, o.weight, bias, expected);
        ASSERT_EQ(y.to_vector<float>(), expected.to_vector<float>()) << c.name << " " << density;
        ASSERT_EQ(y.physical().to_vector<float>(), expected.physical().to_vector<float>())
            << c.name << ": padding lanes";
      }
    }
  }
}

TEST(Int8Conv2d, IntegerSumsEqualTheFloat64ConvolutionOfTheRoundedOperands) {
  for (const Case& c : cases()) {
    Operands o = operands(c, 0.3);
    // Powers of two: every product and sum of the float64 side is exact.
    o.grid = {.scale = 0x1p-6F, .zero = 101};
    for (float& s : o.weight.scale) s = 0x1p-9F;
    std::vector<double> x = o.x.to_vector<double>();
    for (double& v : x) v = o.grid.dequantize(o.grid.quantize(static_cast<float>(v)));
    const Tensor rounded = Tensor::from<double>(c.x, x);
    Tensor expected = Tensor::empty({o.shape.n, o.shape.k, o.shape.p, o.shape.q}, DType::F64);
    espalier::reference::conv2d_forward(
        o.shape, rounded, dequantize(o.weight).to(DType::F64), {}, expected);
    EXPECT_EQ(run(o, {}).to_vector<double>(), expected.to_vector<double>()) << c.name;
  }
}

TEST(Int8Conv2d, EverySimdTargetAndThreadCountGivesTheSameBits) {
  for (const Case& c : cases()) {
    const Operands o = operands(c, 0.2);
    const std::vector<float> expected = run(o, o.bias).to_vector<float>();
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      for (const int threads : {1, 3}) {
        set_num_threads(threads);
        EXPECT_EQ(run(o, o.bias).to_vector<float>(), expected) << c.name << " " << target;
      }
    }
    set_simd_target("");
    set_num_threads(0);
  }
}

// Pair sums in 16 bits would stop at 32767.
TEST(Int8Conv2d, LargestProductsDoNotSaturate) {
  const Shape in = {16, 64, 1, 1};
  const Tensor x = Tensor::full(in, 255.0).to(Layout::Nchw16n);
  for (const int8_t q : {int8_t{127}, int8_t{-127}}) {
    const Int8Weight w{
        .shape = {1, 64, 1, 1}, .q = std::vector<int8_t>(64, q), .scale = {1.0F}, .sums = {64 * q}};
    Tensor y = Tensor::empty({16, 1, 1, 1}, DType::F32, Layout::Nchw16n);
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      int8_conv2d(conv2d_shape(in, w.shape, {}, "test"), x, {}, w, int8_blocks(w, 1), {}, y);
      EXPECT_EQ(y.at({3, 0, 0, 0}), 64.0 * 255.0 * q) << target;
    }
    set_simd_target("");
  }
}

TEST(Int8Conv2d, CostsOnlyBlocksThatAreNotZero) {
  const Case& c = cases()[0];
  Operands o = operands(c, 1.0);
  std::fill(o.weight.q.begin(), o.weight.q.end(), int8_t{0});
  std::fill(o.weight.sums.begin(), o.weight.sums.end(), 0);
  o.weight.q[5] = 3;  // output channel 0, input channel 0
  o.weight.sums[0] = 3;
  const MacCounter counter;
  run(o, {});
  EXPECT_EQ(counter.macs(), 4 * o.shape.n * o.shape.p * o.shape.q);
}

TEST(Int8Conv2d, RefusesOperandsThatDoNotFit) {
  Operands o = operands(cases()[0], 0.5);
  const Int8Blocks blocks = int8_blocks(o.weight, 1);
  Tensor y = Tensor::empty({1, 2, 3, 4}, DType::F32, Layout::Nchw16n);
  EXPECT_THROW(int8_conv2d(o.shape, o.x, o.grid, o.weight, blocks, {}, y), ShapeError);
  y = Tensor::empty({17, 12, 7, 9});
  EXPECT_THROW(int8_conv2d(o.shape, o.x, o.grid, o.weight, blocks, {}, y), TypeError);
  EXPECT_THROW(int8_blocks(o.weight, 5), ValueError);
}

}  // namespace
}  // namespace espalier::sparse
