// SPDX-License-Identifier: Apache-2.0
// Dense convolutions that read x through a map give the bits of the same ones on the mapped tensor:
// direct and by Winograd's algorithm, strided, grouped, without padding, in all layouts and types.
#include <gtest/gtest.h>

#include <espalier/core/kernels/batch_norm.h>
#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/core/random.h>

namespace espalier {
namespace {

struct Case {
  const char* what;
  Shape x, weight;
  Conv2dOptions options;
  DType dtype = DType::F32;
  Layout layout = Layout::Nchw16n;
};

const std::vector<Case> kCases = {
    {"3x3", {17, 6, 9, 7}, {5, 6, 3, 3}, {.padding = 1}},
    {"wide", {32, 40, 8, 8}, {36, 40, 3, 3}, {.padding = 1}},
    {"no padding", {16, 6, 6, 6}, {5, 6, 3, 3}, {}},
    {"1x1", {18, 7, 5, 5}, {9, 7, 1, 1}, {}},
    {"1x1, stride 2", {18, 7, 6, 6}, {9, 7, 1, 1}, {.stride = 2}},
    {"stride 2", {16, 6, 9, 9}, {5, 6, 3, 3}, {.stride = 2, .padding = 1}},
    {"groups", {16, 6, 6, 6}, {4, 3, 3, 3}, {.padding = 1, .groups = 2}},
    {"depthwise", {16, 6, 6, 6}, {6, 1, 3, 3}, {.padding = 1, .groups = 6}},
    {"7x7", {16, 3, 14, 14}, {8, 3, 7, 7}, {.stride = 2, .padding = 3}},
    {"float64", {3, 4, 6, 6}, {5, 4, 3, 3}, {.padding = 1}, DType::F64, Layout::Nchw},
    {"planes", {3, 4, 6, 6}, {5, 4, 3, 3}, {.padding = 1}, DType::F32, Layout::Nchw},
};

Tensor random_tensor(const Shape& shape, uint64_t seed, DType dtype, Layout layout) {
  Tensor t = Tensor::empty(shape);
  Rng rng(seed, "mapped");
  for (int64_t i = 0; i < t.numel(); ++i) {
    t.data<float>()[i] = static_cast<float>(rng.uniform64() * 2.0 - 1.0);
  }
  return t.to(dtype).to(layout);
}

bool padding_is_zero(const Tensor& t) {
  Tensor zeroed = t.clone();
  zero_padding_lanes(zeroed);
  return t.dtype() != DType::F32 ||
         std::equal(t.data<float>(), t.data<float>() + t.physical_numel(), zeroed.data<float>());
}

TEST(Conv2dMapped, ReadsThroughAMap) {
  for (const Case& c : kCases) {
    const Tensor x = random_tensor(c.x, 1, c.dtype, c.layout);
    const Tensor weight = random_tensor(c.weight, 2, c.dtype, Layout::Nchw);
    const Conv2dShape shape = conv2d_shape(c.x, c.weight, c.options, "test");
    const Shape out = {shape.n, shape.k, shape.p, shape.q};
    const Tensor dy = random_tensor(out, 3, c.dtype, c.layout);
    for (const bool relu : {false, true}) {
      ChannelMap map{.relu = relu};
      for (int64_t i = 0; i < shape.c; ++i) {
        map.scale.push_back(0.4 + 0.13 * static_cast<double>(i % 5));
        map.shift.push_back(0.3 - 0.11 * static_cast<double>(i % 7));
      }
      const Tensor y = through_map({x, &map});
      for (const Conv2dAlgorithm algorithm :
           {Conv2dAlgorithm::Direct, Conv2dAlgorithm::Winograd2, Conv2dAlgorithm::Winograd4}) {
        SCOPED_TRACE(cat(c.what, relu ? ", relu" : "", ", ", static_cast<int>(algorithm)));
        set_conv2d_algorithm(algorithm);
        Tensor a = Tensor::empty(out, c.dtype, c.layout), b = Tensor::empty(out, c.dtype, c.layout);
        conv2d_forward(shape, y, weight, {}, a);
        conv2d_forward(shape, {x, &map}, weight, {}, b);
        EXPECT_EQ(a.to_vector<double>(), b.to_vector<double>());
        EXPECT_TRUE(padding_is_zero(b));
        Tensor dw_a = Tensor::empty(c.weight, c.dtype), dw_b = Tensor::empty(c.weight, c.dtype);
        conv2d_backward_weight(shape, y, dy, dw_a);
        conv2d_backward_weight(shape, {x, &map}, dy, dw_b);
        EXPECT_EQ(dw_a.to_vector<double>(), dw_b.to_vector<double>());
      }
      set_conv2d_algorithm(Conv2dAlgorithm::Auto);
    }
  }
}

}  // namespace
}  // namespace espalier
