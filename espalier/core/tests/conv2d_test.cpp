// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/core/parallel.h>
#include <espalier/core/simd.h>
#include <espalier/core/tests/conv2d_checks.h>

namespace espalier {
namespace {

using testing::expect_close;
using testing::expect_zero_padding;
using testing::largest_of_plane;
using testing::magnitude;
using testing::random_tensor;
using testing::run_reference;
using Case = testing::ConvCase;
using Results = testing::ConvResults;

const std::vector<Case>& cases() {
  static const std::vector<Case> list = {
      {"resnet stage 1", {16, 16, 32, 32}, {16, 16, 3, 3}, {.padding = 1}},
      {"first layer, odd batch", {17, 3, 9, 10}, {16, 3, 3, 3}, {.padding = 1}},
      {"one channel, batch 1", {1, 1, 8, 8}, {1, 1, 3, 3}, {.padding = 1}},
      {"five to seventeen channels", {15, 5, 7, 5}, {17, 5, 3, 3}, {.padding = 1}},
      {"seventeen to three channels", {17, 17, 8, 8}, {3, 17, 3, 3}, {.padding = 1}},
      {"plane 1x1", {17, 16, 1, 1}, {5, 16, 3, 3}, {.padding = 1}},
      {"plane 2x2", {16, 17, 2, 2}, {16, 17, 3, 3}, {.padding = 1}},
      {"plane 4x4", {33, 16, 4, 4}, {18, 16, 3, 3}, {.padding = 1}},
      {"plane 3x5, more padding", {5, 6, 3, 5}, {7, 6, 3, 3}, {.padding = {2, 3}}},
      {"3x3 without padding, batch 130", {130, 5, 5, 4}, {6, 5, 3, 3}, {}},
      {"many channels", {2, 70, 4, 5}, {37, 70, 3, 3}, {.padding = 1}},
      {"stride 2", {16, 16, 8, 8}, {17, 16, 3, 3}, {.stride = 2, .padding = 1}},
      {"stride 2, odd plane", {3, 5, 7, 5}, {6, 5, 3, 3}, {.stride = 2, .padding = 1}},
      {"1x1", {17, 16, 7, 5}, {5, 16, 1, 1}, {}},
      {"1x1, stride 2", {17, 5, 8, 7}, {16, 5, 1, 1}, {.stride = 2}},
      {"5x5, no padding", {16, 3, 8, 8}, {6, 3, 5, 5}, {}},
      {"more padding than kernel", {5, 3, 4, 4}, {3, 3, 2, 2}, {.padding = 3}},
      {"uneven everything",
       {5, 4, 9, 11},
       {5, 4, 2, 3},
       {.stride = {3, 2}, .padding = {0, 2}, .dilation = {2, 1}}},
      {"dilation", {17, 3, 8, 8}, {4, 3, 3, 3}, {.padding = 2, .dilation = 2}},
      {"dilation and stride",
       {3, 3, 9, 8},
       {4, 3, 3, 3},
       {.stride = 2, .padding = 3, .dilation = 3}},
      {"groups", {17, 6, 5, 5}, {10, 3, 3, 3}, {.padding = 1, .groups = 2}},
      {"depthwise", {17, 17, 5, 6}, {17, 1, 3, 3}, {.padding = 1, .groups = 17}},
      {"depthwise, stride 2",
       {3, 5, 8, 8},
       {10, 1, 3, 3},
       {.stride = 2, .padding = 1, .groups = 5}},
      {"depthwise, wide, odd rows", {17, 2, 7, 37}, {2, 1, 3, 3}, {.padding = 1, .groups = 2}},
      {"depthwise, many positions", {33, 1, 70, 71}, {1, 1, 3, 3}, {.padding = 1, .groups = 1}},
      {"depthwise 4x4", {40, 3, 4, 4}, {3, 1, 3, 3}, {.padding = 1, .groups = 3}},
      {"depthwise, one position", {5, 3, 1, 1}, {3, 1, 3, 3}, {.padding = 1, .groups = 3}},
      {"depthwise, one column", {16, 3, 9, 1}, {3, 1, 3, 3}, {.padding = 1, .groups = 3}},
      {"depthwise, one row", {16, 3, 1, 9}, {3, 1, 3, 3}, {.padding = 1, .groups = 3}},
      {"depthwise, stride 2, even plane",
       {17, 5, 8, 14},
       {5, 1, 3, 3},
       {.stride = 2, .padding = 1, .groups = 5}},
      {"depthwise, stride 2, odd plane",
       {17, 5, 9, 7},
       {5, 1, 3, 3},
       {.stride = 2, .padding = 1, .groups = 5}},
      {"depthwise, stride 2, two positions",
       {3, 2, 2, 1},
       {2, 1, 3, 3},
       {.stride = 2, .padding = 1, .groups = 2}},
      {"depthwise, stride 2, one position",
       {3, 2, 1, 2},
       {2, 1, 3, 3},
       {.stride = 2, .padding = 1, .groups = 2}},
      {"depthwise without padding", {3, 4, 6, 5}, {4, 1, 3, 3}, {.groups = 4}},
      {"depthwise 5x5", {3, 4, 6, 5}, {4, 1, 5, 5}, {.padding = 2, .groups = 4}},
  };
  return list;
}

struct Operands {
  Conv2dShape shape;
  Tensor x, weight, bias, dy;
  explicit Operands(const Case& c)
      : shape(conv2d_shape(c.x, c.weight, c.options, "test")),
        x(random_tensor(c.x, 1)),
        weight(random_tensor(c.weight, 2)),
        bias(random_tensor({c.weight[0]}, 3)),
        dy(random_tensor({shape.n, shape.k, shape.p, shape.q}, 4)) {}
};

// The three directions; `layout` of the activations.
Results run(const Operands& o, Layout layout) {
  Results r{Tensor::empty(o.dy.shape(), DType::F32, layout),
            Tensor::empty(o.x.shape(), DType::F32, layout),
            Tensor::empty(o.weight.shape(), DType::F32)};
  const Tensor x = o.x.to(layout);
  const Tensor dy = o.dy.to(layout);
  conv2d_forward(o.shape, x, o.weight, o.bias, r.y);
  conv2d_backward_data(o.shape, dy, o.weight, r.dx);
  conv2d_backward_weight(o.shape, x, dy, r.dw);
  return r;
}

class Conv2d : public ::testing::Test {
 protected:
  void TearDown() override {
    set_simd_target("");
    set_num_threads(0);
    set_conv2d_algorithm(Conv2dAlgorithm::Auto);
  }
};

/// What rounding errors are relative to: a direct sum to its own terms, Winograd's algorithm to
/// those of the plane, as tiles share sums.
struct Bounds {
  Results terms, around;
  explicit Bounds(const Operands& o)
      : terms(run_reference(
            o.shape, magnitude(o.x), magnitude(o.weight), magnitude(o.bias), magnitude(o.dy))),
        around{largest_of_plane(terms.y), largest_of_plane(terms.dx), largest_of_plane(terms.dw)} {}
  const Results& of(Conv2dAlgorithm algorithm) const {
    return algorithm == Conv2dAlgorithm::Direct ? terms : around;
  }
};

// Winograd's algorithm runs where it applies, the direct kernels elsewhere.
constexpr std::pair<Conv2dAlgorithm, const char*> kAlgorithms[] = {
    {Conv2dAlgorithm::Direct, "direct"},
    {Conv2dAlgorithm::Winograd2, "F(2x2, 3x3)"},
    {Conv2dAlgorithm::Winograd4, "F(4x4, 3x3)"}};

TEST(Conv2dShapeRule, CountsPositionsOfThePaddedPlane) {
  const Conv2dShape s = conv2d_shape(
      {2, 3, 32, 31}, {8, 3, 3, 5}, {.stride = 2, .padding = 1, .dilation = {1, 2}}, "t");
  EXPECT_EQ(s.p, 16);  // (32 + 2 - 3) / 2 + 1
  EXPECT_EQ(s.q, 13);  // (31 + 2 - 9) / 2 + 1
  EXPECT_EQ(s.macs(), 2 * 8 * 16 * 13 * 3 * 3 * 5);
}

TEST(Conv2dShapeRule, RefusesWhatDoesNotFit) {
  EXPECT_THROW(conv2d_shape({2, 3, 8, 8}, {8, 4, 3, 3}, {}, "t"), ShapeError);
  EXPECT_THROW(conv2d_shape({2, 3, 2, 8}, {8, 3, 3, 3}, {}, "t"), ShapeError);
  EXPECT_THROW(conv2d_shape({2, 4, 8, 8}, {3, 2, 3, 3}, {.groups = 2}, "t"), ShapeError);
  EXPECT_THROW(conv2d_shape({2, 3, 8, 8}, {8, 3, 3, 3}, {.stride = 0}, "t"), ValueError);
  EXPECT_THROW(conv2d_shape({3, 8, 8}, {8, 3, 3, 3}, {}, "t"), ShapeError);
}

TEST(Conv2dReference, HandWorkedStrideAndPadding) {
  // x = 1..9 in a 3x3 plane, a kernel of ones 2x2, stride 2, padding 1: sums of the four corners.
  const Tensor x = Tensor::from<float>({1, 1, 3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  const Tensor w = Tensor::ones({1, 1, 2, 2});
  const Conv2dShape s = conv2d_shape(x.shape(), w.shape(), {.stride = 2, .padding = 1}, "t");
  Tensor y = Tensor::empty({1, 1, 2, 2});
  reference::conv2d_forward(s, x, w, Tensor::from<float>({1}, {0.5f}), y);
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{1.5f, 5.5f, 11.5f, 28.5f}));
  Tensor dx = Tensor::empty_like(x);
  reference::conv2d_backward_data(s, Tensor::from<float>({1, 1, 2, 2}, {1, 2, 3, 4}), w, dx);
  EXPECT_EQ(dx.to_vector<float>(), (std::vector<float>{1, 2, 2, 3, 4, 4, 3, 4, 4}));
  Tensor dw = Tensor::empty_like(w);
  reference::conv2d_backward_weight(s, x, Tensor::from<float>({1, 1, 2, 2}, {1, 2, 3, 4}), dw);
  // Tap (0,0) meets x only at output (1,1), there x = 5; tap (1,0) meets 2 and 8, tap (1,1) 1, 3,
  // 7, 9.
  EXPECT_EQ(dw.to_vector<float>(), (std::vector<float>{20, 12 + 24, 4 + 32, 1 + 6 + 21 + 36}));
}

TEST_F(Conv2d, LanesAgreeWithTheReferenceOnEveryTarget) {
  for (const Case& c : cases()) {
    const Operands o(c);
    const Results exact = run_reference(o.shape, o.x, o.weight, o.bias, o.dy);
    const Bounds bounds(o);
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      for (const auto& [algorithm, name] : kAlgorithms) {
        set_conv2d_algorithm(algorithm);
        const Results fast = run(o, Layout::Nchw16n);
        const Results& bound = bounds.of(algorithm);
        const std::string what = std::string(c.name) + ", " + target + ", " + name;
        expect_close(fast.y, exact.y, bound.y, what + ", forward");
        expect_close(fast.dx, exact.dx, bound.dx, what + ", backward data");
        expect_close(fast.dw, exact.dw, bound.dw, what + ", backward weight");
        expect_zero_padding(fast.y, what + ", forward");
        expect_zero_padding(fast.dx, what + ", backward data");
      }
    }
  }
}

TEST_F(Conv2d, PlainTensorsGiveTheSameNumbers) {
  for (const Case& c : cases()) {
    const Operands o(c);
    const Results exact = run_reference(o.shape, o.x, o.weight, o.bias, o.dy);
    const Bounds bounds(o);
    for (const auto& [algorithm, name] : kAlgorithms) {
      set_conv2d_algorithm(algorithm);
      const Results plain = run(o, Layout::Nchw);
      const Results& bound = bounds.of(algorithm);
      const std::string what = std::string(c.name) + ", " + name;
      expect_close(plain.y, exact.y, bound.y, what + ", forward");
      expect_close(plain.dx, exact.dx, bound.dx, what + ", backward data");
      expect_close(plain.dw, exact.dw, bound.dw, what + ", backward weight");
    }
  }
}

// Beyond the shapes of float32: batches of one, and more weights than one block of the product.
std::vector<Case> float64_cases() {
  std::vector<Case> list = cases();
  list.push_back({"resnet stage 1, batch 1", {1, 16, 32, 32}, {16, 16, 3, 3}, {.padding = 1}});
  list.push_back({"late VGG, batch 1", {1, 130, 2, 2}, {69, 130, 3, 3}, {.padding = 1}});
  list.push_back({"narrow groups", {3, 8, 20, 21}, {12, 2, 3, 3}, {.padding = 1, .groups = 4}});
  return list;
}

Results run64(const Operands& o, Layout layout) {
  Results r{Tensor::empty(o.dy.shape(), DType::F64, layout),
            Tensor::empty(o.x.shape(), DType::F64, layout),
            Tensor::empty(o.weight.shape(), DType::F64)};
  const Tensor x = o.x.to(DType::F64).to(layout);
  const Tensor dy = o.dy.to(DType::F64).to(layout);
  const Tensor weight = o.weight.to(DType::F64);
  conv2d_forward(o.shape, x, weight, o.bias.to(DType::F64), r.y);
  conv2d_backward_data(o.shape, dy, weight, r.dx);
  conv2d_backward_weight(o.shape, x, dy, r.dw);
  return r;
}

void expect_within(const Tensor& fast, const Tensor& exact, const Tensor& terms, double tolerance) {
  const auto f = fast.to_vector<double>();
  const auto e = exact.to_vector<double>();
  const auto m = terms.to_vector<double>();
  ASSERT_EQ(f.size(), e.size());
  for (size_t i = 0; i < f.size(); ++i)
    ASSERT_NEAR(f[i], e[i], tolerance * m[i]) << "element " << i;
}

TEST_F(Conv2d, ColumnsInFloat64AgreeWithTheReference) {
  constexpr double kDoubleSumTol = 16 * 0x1p-53;
  int64_t in_columns = 0;
  for (const Case& c : float64_cases()) {
    SCOPED_TRACE(c.name);
    const Operands o(c);
    in_columns += o.shape.macs() >= 1 << 16 ? 1 : 0;
    const Results exact = run_reference(o.shape, o.x, o.weight, o.bias, o.dy);
    const Results terms = run_reference(
        o.shape, magnitude(o.x), magnitude(o.weight), magnitude(o.bias), magnitude(o.dy));
    for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
      const Results fast = run64(o, layout);
      expect_within(fast.y, exact.y, terms.y, kDoubleSumTol);
      expect_within(fast.dx, exact.dx, terms.dx, kDoubleSumTol);
      expect_within(fast.dw, exact.dw, terms.dw, kDoubleSumTol);
    }
  }
  EXPECT_GE(in_columns, 12) << "too few of the shapes are large enough for the fast path";
}

TEST_F(Conv2d, ColumnsInFloat64HaveTheSameBitsOnEveryThreadCount) {
  for (const Case& c : float64_cases()) {
    const Operands o(c);
    set_num_threads(1);
    const Results one = run64(o, Layout::Nchw);
    set_num_threads(7);
    const Results many = run64(o, Layout::Nchw);
    EXPECT_EQ(one.y.to_vector<double>(), many.y.to_vector<double>()) << c.name;
    EXPECT_EQ(one.dx.to_vector<double>(), many.dx.to_vector<double>()) << c.name;
    EXPECT_EQ(one.dw.to_vector<double>(), many.dw.to_vector<double>()) << c.name;
  }
}

TEST_F(Conv2d, BitsDontDependOnTheThreadCount) {
  for (const Case& c : cases()) {
    const Operands o(c);
    for (const auto& [algorithm, name] : kAlgorithms) {
      set_conv2d_algorithm(algorithm);
      set_num_threads(1);
      const Results one = run(o, Layout::Nchw16n);
      for (const int threads : {2, 7}) {
        set_num_threads(threads);
        const Results many = run(o, Layout::Nchw16n);
        EXPECT_EQ(one.y.to_vector<float>(), many.y.to_vector<float>()) << c.name << ", " << name;
        EXPECT_EQ(one.dx.to_vector<float>(), many.dx.to_vector<float>()) << c.name << ", " << name;
        EXPECT_EQ(one.dw.to_vector<float>(), many.dw.to_vector<float>()) << c.name << ", " << name;
      }
    }
  }
}

TEST_F(Conv2d, NonContiguousOperandsAreRead) {
  const Case c{"", {5, 3, 8, 6}, {4, 3, 3, 3}, {.padding = 1}};
  Operands o(c);
  const Results straight = run(o, Layout::Nchw);
  o.x = o.x.transpose(2, 3).contiguous().transpose(2, 3);
  o.weight = o.weight.transpose(0, 3).contiguous().transpose(0, 3);
  o.dy = o.dy.transpose(1, 2).contiguous().transpose(1, 2);
  Tensor every_second = Tensor::zeros({8}).slice(0, 0, 8, 2);
  every_second.copy_(o.bias);
  o.bias = every_second;
  const Results strided = run(o, Layout::Nchw);
  EXPECT_EQ(straight.y.to_vector<float>(), strided.y.to_vector<float>());
  EXPECT_EQ(straight.dx.to_vector<float>(), strided.dx.to_vector<float>());
  EXPECT_EQ(straight.dw.to_vector<float>(), strided.dw.to_vector<float>());
}

}  // namespace
}  // namespace espalier
