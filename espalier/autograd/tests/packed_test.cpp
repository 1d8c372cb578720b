// SPDX-License-Identifier: Apache-2.0
// Values kept as bfloat16: the forward pass is what it was, gradients are those at rounded values,
// and half of the memory is enough.
#include <bit>
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/autograd/packed.h>
#include <espalier/core/parallel.h>
#include <espalier/core/random.h>
#include <espalier/core/storage.h>

namespace espalier {
namespace {

constexpr double kOneRounding = 1e-6;  // of float32, relative
constexpr double kNear = 0.04;  // of gradients through four ReLUs, some of which tip over at 2^-9

Tensor random_tensor(const Shape& shape, uint64_t seed) {
  Tensor t = Tensor::empty(shape);
  Rng rng(seed, "packed");
  for (int64_t i = 0; i < t.numel(); ++i) {
    t.data<float>()[i] = static_cast<float>(rng.uniform64() * 4.0 - 2.0);
  }
  return t;
}

// To the nearest, ties to even, by arithmetic instead of bits.
double as_bfloat16(double x) {
  if (x == 0.0) return 0.0;
  const double unit = std::ldexp(1.0, std::ilogb(x) - 7);
  return std::nearbyint(x / unit) * unit;
}

double sigmoid_of(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

TEST(Packed, GradientsAreThoseAtTheRoundedInput) {
  const Tensor start = random_tensor({2048}, 1);
  const Variable x(start, true);
  const SavedAsScope scope(SavedAs::BFloat16);
  const Variable doubled = x + x;
  sum(silu(doubled)).backward();
  for (int64_t i = 0; i < 2048; ++i) {
    const double a = as_bfloat16(2.0 * start.at({i}));
    const double s = sigmoid_of(a);
    const double expected = 2.0 * s * (1.0 + a * (1.0 - s));
    ASSERT_NEAR(x.grad().value().at({i}), expected, kOneRounding * 4) << i;
  }
}

TEST(Packed, GradientsAreThoseAtTheRoundedOutput) {
  const Tensor start = random_tensor({2048}, 2);
  const Variable x(start, true);
  const SavedAsScope scope(SavedAs::BFloat16);
  const Variable y = sigmoid(x);
  for (int64_t i = 0; i < 2048; ++i) {
    ASSERT_NEAR(y.value().at({i}), sigmoid_of(start.at({i})), kOneRounding) << "forward is exact";
  }
  sum(y).backward();
  for (int64_t i = 0; i < 2048; ++i) {
    const double s = as_bfloat16(y.value().at({i}));
    ASSERT_NEAR(x.grad().value().at({i}), s * (1.0 - s), kOneRounding) << i;
  }
}

TEST(Packed, LeavesAndSmallTensorsStayAsTheyAre) {
  const Variable small(random_tensor({1023}, 3), true);
  const Variable leaf(random_tensor({4096}, 4), true);
  const auto run = [&](SavedAs how) {
    const SavedAsScope scope(how);
    sum(silu(small + small)).backward();
    sum(silu(leaf)).backward();
    std::vector<float> out = small.grad().value().to_vector<float>();
    for (const float g : leaf.grad().value().to_vector<float>()) out.push_back(g);
    Variable(small).zero_grad();
    Variable(leaf).zero_grad();
    return out;
  };
  EXPECT_EQ(run(SavedAs::BFloat16), run(SavedAs::AsTheyAre));
}

TEST(Packed, AChangeInPlaceAfterTheOpDoesNotReachWhatWasKept) {
  const Variable x(random_tensor({2048}, 5), true);
  const SavedAsScope scope(SavedAs::BFloat16);
  Variable a = x + x;
  const Variable loss = sum(silu(a));
  const double at = as_bfloat16(a.value().at({7}));
  a.value().fill_(100.0);
  loss.backward();
  const double s = sigmoid_of(at);
  EXPECT_NEAR(x.grad().value().at({7}), 2.0 * s * (1.0 + at * (1.0 - s)), kOneRounding * 4);
}

TEST(Packed, AChangeBetweenTwoOpsIsSeenByTheSecond) {
  const Variable x(random_tensor({2048}, 6), true);
  const SavedAsScope scope(SavedAs::BFloat16);
  Variable a = x + x;
  const Variable first = sum(silu(a));
  a.value().fill_(0.5);
  const Variable second = sum(silu(a));
  second.backward();
  const double s = sigmoid_of(0.5);
  EXPECT_NEAR(x.grad().value().at({3}), 2.0 * s * (1.0 + 0.5 * (1.0 - s)), kOneRounding * 4);
}

struct Blocks {
  Variable x = Variable(random_tensor({32, 8, 8, 8}, 7).to(Layout::Nchw16n), true);
  std::vector<Variable> weights, gammas, betas;
  Blocks() {
    for (uint64_t i = 0; i < 4; ++i) {
      weights.emplace_back(random_tensor({8, 8, 3, 3}, 10 + i), true);
      gammas.emplace_back(random_tensor({8}, 20 + i), true);
      betas.emplace_back(random_tensor({8}, 30 + i), true);
    }
  }
  // Convolution, normalization and ReLU, twice with a residual sum.
  Variable forward() const {
    Variable h = x;
    for (size_t i = 0; i < 4; i += 2) {
      const Variable in = h;
      h = conv2d(h, weights[i], {}, {.padding = 1}, {});
      h = batch_norm(h, gammas[i], betas[i], nullptr, {.relu = true});
      h = conv2d(h, weights[i + 1], {}, {.padding = 1}, {});
      h = batch_norm(h, gammas[i + 1], betas[i + 1], nullptr, {.relu = true}, in);
    }
    return h;
  }
  std::vector<Tensor> gradients(SavedAs how) {
    const SavedAsScope scope(how);
    const Variable out = forward();
    sum(out * out).backward();
    std::vector<Tensor> all = {out.value(), x.grad().value()};
    for (auto* of : {&weights, &gammas, &betas}) {
      for (Variable& v : *of) {
        all.push_back(v.grad().value());
        v.zero_grad();
      }
    }
    x.zero_grad();
    return all;
  }
};

TEST(Packed, ANetworkHasTheSameOutputAndNearlyTheSameGradients) {
  Blocks blocks;
  const std::vector<Tensor> exact = blocks.gradients(SavedAs::AsTheyAre);
  const std::vector<Tensor> rounded = blocks.gradients(SavedAs::BFloat16);
  EXPECT_EQ(exact[0].to_vector<float>(), rounded[0].to_vector<float>());
  for (size_t k = 1; k < exact.size(); ++k) {
    const std::vector<double> a = exact[k].to_vector<double>();
    const std::vector<double> b = rounded[k].to_vector<double>();
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
      difference += (a[i] - b[i]) * (a[i] - b[i]);
      norm += a[i] * a[i];
    }
    EXPECT_GT(difference, 0.0) << "tensor " << k << " does not see rounded values";
    EXPECT_LT(std::sqrt(difference / norm), kNear) << "tensor " << k;
  }
}

TEST(Packed, HoldsOnAnyNumberOfThreads) {
  Blocks blocks;
  std::vector<std::vector<float>> first;
  for (const int threads : {1, 2, 7}) {
    set_num_threads(threads);
    std::vector<std::vector<float>> now;
    for (const Tensor& t : blocks.gradients(SavedAs::BFloat16)) now.push_back(t.to_vector<float>());
    if (first.empty()) first = now;
    EXPECT_EQ(now, first) << threads;
  }
  set_num_threads(0);
}

TEST(Packed, TakesHalfOfTheMemoryBetweenForwardAndBackward) {
  const Blocks blocks;
  const auto kept = [&](SavedAs how) {
    const SavedAsScope scope(how);
    const int64_t before = memory_stats().bytes_in_use;
    const Variable loss = sum(blocks.forward());
    return static_cast<double>(memory_stats().bytes_in_use - before);
  };
  const double ratio = kept(SavedAs::BFloat16) / kept(SavedAs::AsTheyAre);
  EXPECT_GT(ratio, 0.45);
  EXPECT_LT(ratio, 0.55);
}

TEST(Packed, SecondDerivativesFollow) {
  const Variable x(random_tensor({2048}, 8), true);
  const SavedAsScope scope(SavedAs::BFloat16);
  const Variable y = sum(silu(x + x));
  const Variable first = grad({y}, {x}, {.create_graph = true})[0];
  sum(first).backward();
  ASSERT_TRUE(x.grad().defined());
  const double a = as_bfloat16(2.0 * x.value().at({11}));
  const double s = sigmoid_of(a);
  // silu'' = s' (2 + a (1 - 2 s)), s' = s (1 - s); twice 2 by the chain.
  const double expected = 4.0 * s * (1.0 - s) * (2.0 + a * (1.0 - 2.0 * s));
  EXPECT_NEAR(x.grad().value().at({11}), expected, kNear * 4);
}

TEST(Packed, TheScopeEnds) {
  EXPECT_EQ(saved_as(), SavedAs::AsTheyAre);
  {
    const SavedAsScope scope(SavedAs::BFloat16);
    EXPECT_EQ(saved_as(), SavedAs::BFloat16);
  }
  EXPECT_EQ(saved_as(), SavedAs::AsTheyAre);
}

}  // namespace
}  // namespace espalier
