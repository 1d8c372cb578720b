// SPDX-License-Identifier: Apache-2.0
// Winograd's algorithm beyond what conv2d_test.cpp asks of every algorithm: which tiles a shape
// takes, and how large rounding errors are beside those of direct sums.
#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include <espalier/core/kernels/conv2d/winograd_tiles.h>
#include <espalier/core/tests/conv2d_checks.h>

namespace espalier {
namespace {

using testing::magnitude;
using testing::random_tensor;
using testing::run_reference;

class Winograd : public ::testing::Test {
 protected:
  void TearDown() override { set_conv2d_algorithm(Conv2dAlgorithm::Auto); }
};

int tile_of(int64_t channels,
            int64_t plane,
            const Conv2dOptions& options,
            Conv2dPass pass = Conv2dPass::Forward) {
  return winograd_tile(
      conv2d_shape({1, channels, plane, plane}, {channels, channels, 3, 3}, options, "t"), pass);
}

TEST_F(Winograd, IsTakenWhereItIsFaster) {
  EXPECT_EQ(tile_of(64, 8, {.padding = 1}), 4);
  EXPECT_EQ(tile_of(64, 4, {.padding = 1}), 4);
  EXPECT_EQ(tile_of(64, 2, {.padding = 1}), 2);  // 36 products for 4 outputs against 16
  EXPECT_EQ(tile_of(64, 5, {.padding = 1}), 2);  // 4 * 36 against 9 * 16
  EXPECT_EQ(tile_of(16, 2, {.padding = 1}, Conv2dPass::BackwardData), 2);
  EXPECT_EQ(tile_of(16, 2, {.padding = 1}, Conv2dPass::BackwardWeight), 0);
  EXPECT_EQ(tile_of(16, 8, {.padding = 1}, Conv2dPass::BackwardWeight), 4);
  EXPECT_EQ(tile_of(64, 8, {.stride = 2, .padding = 1}), 0);
  EXPECT_EQ(tile_of(64, 1, {.padding = 1}), 0);
  EXPECT_EQ(tile_of(8, 8, {.padding = 1}), 0);
}

TEST_F(Winograd, IsTakenAsAskedWhereItApplies) {
  set_conv2d_algorithm(Conv2dAlgorithm::Direct);
  EXPECT_EQ(tile_of(64, 8, {.padding = 1}), 0);
  set_conv2d_algorithm(Conv2dAlgorithm::Winograd2);
  EXPECT_EQ(tile_of(64, 8, {.padding = 1}), 2);
  set_conv2d_algorithm(Conv2dAlgorithm::Winograd4);
  EXPECT_EQ(tile_of(8, 1, {.padding = 1}), 4);
  EXPECT_EQ(tile_of(64, 8, {.stride = 2, .padding = 1}), 0);
}

/// Mean absolute errors of the three directions against sums in float64.
std::tuple<double, double, double> errors(Conv2dAlgorithm algorithm, int64_t channels) {
  set_conv2d_algorithm(algorithm);
  const Shape planes{16, channels, 8, 8};
  const Tensor x =
      magnitude(random_tensor(planes, 1)).to(DType::F32);  // as after a ReLU: sums grow
  const Tensor w = random_tensor({channels, channels, 3, 3}, 2);
  const Tensor dy = random_tensor(planes, 3);
  const Conv2dShape shape = conv2d_shape(planes, w.shape(), {.padding = 1}, "t");
  const auto exact = run_reference(shape, x, w, Tensor(), dy);
  const Tensor x_lanes = x.to(Layout::Nchw16n);
  const Tensor dy_lanes = dy.to(Layout::Nchw16n);
  Tensor y = Tensor::empty(planes, DType::F32, Layout::Nchw16n);
  Tensor dx = Tensor::empty_like(y);
  Tensor dw = Tensor::empty_like(w);
  conv2d_forward(shape, x_lanes, w, Tensor(), y);
  conv2d_backward_data(shape, dy_lanes, w, dx);
  conv2d_backward_weight(shape, x_lanes, dy_lanes, dw);
  const auto mean_error = [](const Tensor& got, const Tensor& expected) {
    const auto a = got.to(Layout::Nchw).to_vector<float>();
    const auto b = expected.to_vector<double>();
    double sum = 0.0;
    for (size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
    return sum / static_cast<double>(a.size());
  };
  return {mean_error(y, exact.y), mean_error(dx, exact.dx), mean_error(dw, exact.dw)};
}

TEST_F(Winograd, ErrorsStayNearThoseOfDirectSums) {
  for (const int64_t channels : {16, 64}) {
    const auto [y, dx, dw] = errors(Conv2dAlgorithm::Direct, channels);
    const auto [y2, dx2, dw2] = errors(Conv2dAlgorithm::Winograd2, channels);
    const auto [y4, dx4, dw4] = errors(Conv2dAlgorithm::Winograd4, channels);
    EXPECT_LT(y2, 1.5 * y) << channels;
    EXPECT_LT(dx2, 1.5 * dx) << channels;
    EXPECT_LT(dw2, 1.5 * dw) << channels;
    EXPECT_LT(y4, 2.0 * y) << channels;
    EXPECT_LT(dx4, 3.5 * dx) << channels;
    EXPECT_LT(dw4, 3.0 * dw) << channels;
  }
}

// Some channels of odd sizes, two blocks of samples, both tiles; others are as if they were not.
TEST_F(Winograd, SomeChannelsGiveTheSumsOverThem) {
  const Shape in{19, 9, 7, 6};
  const Shape out{19, 11, 7, 6};
  const std::vector<int32_t> from = {0, 3, 4, 8};
  const std::vector<int32_t> to = {1, 2, 5, 7, 8, 10};
  const Tensor x = random_tensor(in, 1);
  const Tensor w = random_tensor({11, 9, 3, 3}, 2);
  const Tensor b = random_tensor({11}, 3);
  const Conv2dShape shape = conv2d_shape(in, w.shape(), {.padding = 1}, "t");
  Tensor kept = x.clone();
  for (int64_t i = 0; i < kept.numel(); ++i) {
    const auto c = static_cast<int32_t>(i / (7 * 6) % 9);
    if (std::find(from.begin(), from.end(), c) == from.end()) kept.data<float>()[i] = 0.0F;
  }
  const Tensor exact = run_reference(shape, kept, w, b, Tensor::zeros(out)).y;
  const Tensor terms =
      run_reference(shape, magnitude(kept), magnitude(w), magnitude(b), Tensor::zeros(out)).y;
  for (const int size : {2, 4}) {
    const auto conv = detail::WinogradCorrelation::forward(shape, {size}, 2);
    const Tensor filters =
        conv.transform_filters_plainly(w.data<float>(), detail::forward_strides(shape));
    const Tensor lanes = x.to(Layout::Nchw16n);
    Tensor y = Tensor::empty(out, DType::F32, Layout::Nchw16n);
    y.fill_(-7.0);
    Tensor scratch = Tensor::empty({conv.scratch_size()});
    for (int64_t task = 0; task < conv.tasks(2); ++task) {
      conv.run_some(task,
                    2,
                    {from, to},
                    lanes.data<float>(),
                    filters.data<float>(),
                    b.data<float>(),
                    y.data<float>(),
                    scratch.data<float>());
    }
    const Tensor got = y.to(Layout::Nchw);
    const Tensor bound = testing::largest_of_plane(terms);
    for (int64_t i = 0; i < got.numel(); ++i) {
      const auto k = static_cast<int32_t>(i / (7 * 6) % 11);
      if (std::find(to.begin(), to.end(), k) == to.end()) {
        ASSERT_EQ(got.data<float>()[i], -7.0F) << k;
      } else {
        ASSERT_NEAR(got.data<float>()[i],
                    exact.data<double>()[i],
                    testing::kFloatSumTol * bound.data<double>()[i])
            << k;
      }
    }
  }
}

}  // namespace
}  // namespace espalier
