// SPDX-License-Identifier: Apache-2.0
// Expected texts are what PyTorch (2.14) prints, but for the names of element types and layouts.
#include <espalier/core/print.h>

#include <cmath>
#include <sstream>

#include <gtest/gtest.h>

namespace espalier {
namespace {

using Floats = std::vector<float>;

std::string shown(const Tensor& tensor) {
  std::ostringstream stream;
  stream << tensor;
  return stream.str();
}
std::string shown(const Shape& shape, const Floats& values) {
  return shown(Tensor::from<float>(shape, values));
}
// 0, step, 2*step, ..
Tensor steps(const Shape& shape, double step) {
  Tensor out = Tensor::arange(shape.numel(), DType::F32).reshape(shape).clone();
  for (int64_t i = 0; i < out.numel(); ++i) out.data<float>()[i] *= static_cast<float>(step);
  return out;
}

TEST(Print, WholeNumbersHaveAPoint) {
  EXPECT_EQ(shown({2, 2}, {1, 2, 3, -4}), "tensor([[ 1.,  2.],\n        [ 3., -4.]])");
  EXPECT_EQ(shown({2}, {0, 0}), "tensor([0., 0.])");
}

TEST(Print, OthersHaveFourDigits) {
  EXPECT_EQ(shown({3}, {1.5, -2.25, 0.125}), "tensor([ 1.5000, -2.2500,  0.1250])");
  EXPECT_EQ(shown({3}, {-0.5, 0.0, -0.0}), "tensor([-0.5000,  0.0000, -0.0000])");
  EXPECT_EQ(shown(Tensor::scalar(3.14159)), "tensor(3.1416)");
}

TEST(Print, NumbersThatAreFarApartAreScientific) {
  EXPECT_EQ(shown({2}, {1e-5f, 1.0}), "tensor([1.0000e-05, 1.0000e+00])");
  EXPECT_EQ(shown({2}, {0.5, 2000}), "tensor([5.0000e-01, 2.0000e+03])");
  EXPECT_EQ(shown({2}, {1, 2000}), "tensor([1.0000e+00, 2.0000e+03])");
  EXPECT_EQ(shown({1}, {3e8f}), "tensor([3.0000e+08])");
}

TEST(Print, WhatIsNoNumberIsShownAndDecidesNothing) {
  EXPECT_EQ(shown({4}, {NAN, INFINITY, -INFINITY, 1}), "tensor([nan, inf, -inf, 1.])");
  EXPECT_EQ(shown({1}, {NAN}), "tensor([nan])");
}

TEST(Print, TheElementTypeStandsBehindUnlessItIsFloat32) {
  EXPECT_EQ(shown(Tensor::from<double>({2}, {0.1, 0.2})),
            "tensor([0.1000, 0.2000], dtype=float64)");
  EXPECT_EQ(shown(Tensor::from<int32_t>({2, 2}, {1, -20, 300, 4})),
            "tensor([[  1, -20],\n        [300,   4]], dtype=int32)");
  EXPECT_EQ(shown(Tensor::from<int64_t>({1}, {9007199254740993})),
            "tensor([9007199254740993], dtype=int64)");
  EXPECT_EQ(shown(Tensor::from<uint8_t>({3}, {0, 1, 255})), "tensor([  0,   1, 255], dtype=uint8)");
}

TEST(Print, BlocksAreSetApartByAnEmptyLine) {
  EXPECT_EQ(shown(steps({2, 2, 2}, 0.25)),
            R"(tensor([[[0.0000, 0.2500],
         [0.5000, 0.7500]],

        [[1.0000, 1.2500],
         [1.5000, 1.7500]]]))");
}

TEST(Print, LongRowsAreBroken) {
  EXPECT_EQ(shown(steps({30}, 0.125)),
            R"(tensor([0.0000, 0.1250, 0.2500, 0.3750, 0.5000, 0.6250, 0.7500, 0.8750, 1.0000,
        1.1250, 1.2500, 1.3750, 1.5000, 1.6250, 1.7500, 1.8750, 2.0000, 2.1250,
        2.2500, 2.3750, 2.5000, 2.6250, 2.7500, 2.8750, 3.0000, 3.1250, 3.2500,
        3.3750, 3.5000, 3.6250]))");
}

TEST(Print, LargeTensorsAreShownByTheirEdges) {
  EXPECT_EQ(shown(steps({1001}, 0.5)),
            "tensor([  0.0000,   0.5000,   1.0000,  ..., 499.0000, 499.5000, 500.0000])");
  EXPECT_EQ(shown(steps({1000}, 1.0)).find("..."), std::string::npos);
  const std::string two =
      R"(tensor([[0.0000e+00, 5.0000e-01, 1.0000e+00,  ..., 4.8500e+01, 4.9000e+01,
         4.9500e+01],
        [5.0000e+01, 5.0500e+01, 5.1000e+01,  ..., 9.8500e+01, 9.9000e+01,
         9.9500e+01],
        [1.0000e+02, 1.0050e+02, 1.0100e+02,  ..., 1.4850e+02, 1.4900e+02,
         1.4950e+02],
        ...,
        [1.8500e+03, 1.8505e+03, 1.8510e+03,  ..., 1.8985e+03, 1.8990e+03,
         1.8995e+03],
        [1.9000e+03, 1.9005e+03, 1.9010e+03,  ..., 1.9485e+03, 1.9490e+03,
         1.9495e+03],
        [1.9500e+03, 1.9505e+03, 1.9510e+03,  ..., 1.9985e+03, 1.9990e+03,
         1.9995e+03]])";
  EXPECT_EQ(shown(steps({40, 100}, 0.5)), two + ")");
  EXPECT_EQ(shown(steps({40, 100}, 0.5).to(Layout::Nchw16n)), two + ", layout=Nchw16n)");
  const std::string three = shown(steps({20, 20, 20}, 1.0));
  EXPECT_NE(three.find("3.9800e+02, 3.9900e+02]],\n\n        [[4.0000e+02, "), std::string::npos);
  EXPECT_NE(three.find("1.1990e+03]],\n\n        ...,\n\n        [[6.8000e+03"), std::string::npos);
}

TEST(Print, ElementsAreInLogicalOrder) {
  const Tensor a = steps({2, 3}, 1.0);
  EXPECT_EQ(shown(a.to(Layout::Nchw16n)),
            "tensor([[0., 1., 2.],\n        [3., 4., 5.]], layout=Nchw16n)");
  EXPECT_EQ(shown(a.transpose(0, 1)), "tensor([[0., 3.],\n        [1., 4.],\n        [2., 5.]])");
}

TEST(Print, EmptyAndUndefinedTensorsSayWhatTheyAre) {
  EXPECT_EQ(shown(Tensor::zeros({0})), "tensor([])");
  EXPECT_EQ(shown(Tensor::zeros({0, 3})), "tensor([], size=(0, 3))");
  EXPECT_EQ(shown(Tensor()), "undefined tensor");
}

TEST(Print, OptionsChangeDigitsAndEdges) {
  EXPECT_EQ(to_text(Tensor::from<float>({1}, {0.25}), {.precision = 2}), "tensor([0.25])");
  EXPECT_EQ(to_text(steps({7}, 1.0), {.threshold = 5, .edge = 1}), "tensor([0.,  ..., 6.])");
  EXPECT_EQ(to_text(steps({3}, 1.0), {.line_width = 12}), "tensor([0.,\n        1.,\n        2.])");
}

}  // namespace
}  // namespace espalier
