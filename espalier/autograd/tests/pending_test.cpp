// SPDX-License-Identifier: Apache-2.0
// A normalized value that nobody asked for takes no memory, and what is computed with it is what is
// computed with a value in memory.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/autograd/pending.h>
#include <espalier/core/allocation_log.h>
#include <espalier/core/random.h>

namespace espalier {
namespace {

Tensor random_tensor(const Shape& shape, uint64_t seed) {
  Tensor t = Tensor::empty(shape);
  Rng rng(seed, "pending");
  for (int64_t i = 0; i < t.numel(); ++i) {
    t.data<float>()[i] = static_cast<float>(rng.uniform64() * 2.0 - 1.0);
  }
  return t;
}

Variable images(const Shape& shape, uint64_t seed) {
  return Variable(random_tensor(shape, seed).to(Layout::Nchw16n), true);
}

sparse::WeightSparsity half(const Shape& weight) {
  Tensor mask = Tensor::empty(weight, DType::U8);
  for (int64_t i = 0; i < mask.numel(); ++i) mask.data<uint8_t>()[i] = i * 7 / 3 % 5 == 0;
  return {.support = std::make_shared<const sparse::Support>(mask)};
}

struct Leaves {
  Variable x, weight, gamma, beta, next;
  explicit Leaves(int64_t n)
      : x(images({n, 3, 6, 6}, 1)),
        weight(random_tensor({5, 3, 3, 3}, 2), true),
        gamma(random_tensor({5}, 3), true),
        beta(random_tensor({5}, 4), true),
        next(random_tensor({4, 5, 3, 3}, 5), true) {}
};

// conv, normalization and ReLU, conv; `asks` for the value in between.
std::vector<Tensor> gradients(int64_t n, bool sparse, bool asks) {
  const Leaves l(n);
  const Conv2dOptions options{.padding = 1};
  const Variable z = conv2d(l.x, l.weight, {}, options, {});
  const Variable y = batch_norm(z, l.gamma, l.beta, nullptr, {.relu = true});
  EXPECT_EQ(y.shape(), z.shape());
  EXPECT_EQ(y.layout(), Layout::Nchw16n);
  if (asks) (void)std::as_const(y).value();
  EXPECT_EQ(mapped(y).map == nullptr, asks);
  const Variable out =
      conv2d(y, l.next, {}, options, sparse ? half(l.next.shape()) : sparse::WeightSparsity{});
  std::vector<Tensor> result = {out.value()};
  sum(out * out).backward();
  for (const Variable& leaf : {l.x, l.weight, l.gamma, l.beta, l.next}) {
    result.push_back(leaf.grad().value());
  }
  return result;
}

TEST(Pending, GivesWhatAValueInMemoryGives) {
  for (const int64_t n : {16, 17, 48}) {
    for (const bool sparse : {false, true}) {
      const std::vector<Tensor> a = gradients(n, sparse, true), b = gradients(n, sparse, false);
      for (size_t i = 0; i < a.size(); ++i) {
        SCOPED_TRACE(cat("n ", n, sparse ? ", sparse" : "", ", result ", i));
        const std::vector<double> of_a = a[i].to_vector<double>(), of_b = b[i].to_vector<double>();
        // Behind the sparse convolution: the result and the gradient of its own weight. In front of
        // it the sums of normalization are taken in its kernel, in another order.
        if (!sparse || i == 0 || i == 5) {
          EXPECT_EQ(of_a, of_b);
          continue;
        }
        double largest = 0.0;
        for (const double v : of_a) largest = std::max(largest, std::fabs(v));
        for (size_t k = 0; k < of_a.size(); ++k) EXPECT_NEAR(of_a[k], of_b[k], 1e-5 * largest);
      }
    }
  }
}

TEST(Pending, IsMadeOnceForWhoeverAsks) {
  const Leaves l(16);
  const Variable y = batch_norm(
      l.x, Variable(random_tensor({3}, 1)), Variable(random_tensor({3}, 2)), nullptr, {});
  const Variable other = y;
  EXPECT_EQ(std::as_const(y).value().data<float>(), std::as_const(other).value().data<float>());
}

TEST(Pending, PoolingReadsThroughIt) {
  const auto pooled = [](bool asks) {
    const Variable x = images({17, 3, 5, 6}, 1);
    const Variable y = batch_norm(x,
                                  Variable(random_tensor({3}, 1)),
                                  Variable(random_tensor({3}, 2)),
                                  nullptr,
                                  {.relu = true});
    if (asks) (void)std::as_const(y).value();
    const Variable p = max_pool2d(y, {.kernel = 2, .stride = 2});
    EXPECT_EQ(mapped(y).map == nullptr, asks);
    sum(p * p).backward();
    std::vector<double> out = p.value().to_vector<double>();
    for (const double g : x.grad().value().to_vector<double>()) out.push_back(g);
    return out;
  };
  EXPECT_EQ(pooled(true), pooled(false));
}

// What backward keeps of conv, norm, conv: the first convolution's output and no second tensor.
TEST(Pending, SavesTheConvolutionsOutputAlone) {
  const Leaves l(16);
  const Conv2dOptions options{.padding = 1};
  const int64_t activation = 16 * 5 * 36 * int64_t{sizeof(float)};
  const Variable z = conv2d(l.x, l.weight, {}, options, {});
  const AllocationLog log;
  Variable y = batch_norm(z, l.gamma, l.beta, nullptr, {.relu = true});
  const Variable out = conv2d(y, l.next, {}, options, half(l.next.shape()));
  y = {};
  int64_t made = 0;
  for (const AllocationEvent& event : log.events()) made += event.nbytes == activation;
  EXPECT_EQ(made, 0);
}

TEST(Pending, ADenseConsumersCopyLivesNoLongerThanTheForwardPass) {
  const Leaves l(16);
  const Conv2dOptions options{.padding = 1};
  const int64_t activation = 16 * 5 * 36 * int64_t{sizeof(float)};
  const Variable z = conv2d(l.x, l.weight, {}, options, {});
  const AllocationLog log;
  Variable y = batch_norm(z, l.gamma, l.beta, nullptr, {.relu = true});
  const Variable out = conv2d(y, l.next, {}, options, {});
  y = {};
  std::vector<int64_t> alive;
  for (const AllocationEvent& event : log.events()) {
    if (event.nbytes == activation) alive.push_back(event.block);
    if (event.nbytes < 0) std::erase(alive, event.block);
  }
  EXPECT_TRUE(alive.empty());
}

TEST(Pending, AChangedInputIsAnError) {
  const Leaves l(16);
  const Variable z = l.x * 2.0;
  const Variable y =
      batch_norm(z, Variable(random_tensor({3}, 1)), Variable(random_tensor({3}, 2)), nullptr, {});
  Tensor handle = z.value();
  handle.fill_(1.0);
  EXPECT_THROW((void)y.value(), Error);
}

// Whoever writes into a value that was made gets what was written, in both passes.
TEST(Pending, AWrittenValueIsNotMadeAnew) {
  const Leaves l(16);
  Variable y = batch_norm(
      l.x, Variable(random_tensor({3}, 1)), Variable(random_tensor({3}, 2)), nullptr, {});
  Tensor handle = std::as_const(y).value();
  handle.fill_(0.5);
  const Variable w(random_tensor({4, 3, 3, 3}, 6), true);
  const sparse::WeightSparsity sparsity = half(w.shape());
  sum(conv2d(y, w, {}, {}, sparsity)).backward();
  // Each of 16 samples adds 0.5 at each of 4 x 4 positions.
  const Tensor& mask = sparsity.support->mask();
  for (int64_t i = 0; i < w.numel(); ++i) {
    EXPECT_EQ(w.grad().value().data<float>()[i], mask.data<uint8_t>()[i] != 0 ? 128.0f : 0.0f);
  }
}

// Who looks at the gradient of a pending value sees all of it, also where the ReLU is closed.
TEST(Pending, ItsOwnGradientIsWhole) {
  const auto seen = [](bool asks, bool by_hook) {
    const Leaves l(16);
    const Variable z = conv2d(l.x, l.weight, {}, {}, {});
    Variable y = batch_norm(z, l.gamma, l.beta, nullptr, {.relu = true});
    if (asks) (void)std::as_const(y).value();
    std::vector<double> out;
    if (by_hook) {
      y.register_hook([&out](const Variable& g) {
        out = g.value().to_vector<double>();
        return Variable();
      });
    }
    const Variable loss = sum(conv2d(y, l.next, {}, {}, half(l.next.shape())));
    if (by_hook) {
      loss.backward();
    } else {
      out = grad({loss}, {y, l.next})[0].value().to_vector<double>();
    }
    return out;
  };
  for (const bool by_hook : {false, true}) {
    const std::vector<double> whole = seen(false, by_hook);
    EXPECT_EQ(whole, seen(true, by_hook));
    EXPECT_TRUE(std::ranges::any_of(whole, [](double g) { return g != 0.0; }));
  }
}

// Two consumers: their gradients are added before normalization sees them.
TEST(Pending, TwoConsumersAddUp) {
  const auto both = [](bool asks) {
    const Leaves l(32);
    const Variable z = conv2d(l.x, l.weight, {}, {}, {});
    const Variable y = batch_norm(z, l.gamma, l.beta, nullptr, {.relu = true});
    if (asks) (void)std::as_const(y).value();
    const sparse::WeightSparsity s = half(l.next.shape());
    const Variable a = conv2d(y, l.next, {}, {}, s), b = conv2d(y, l.next * 2.0, {}, {}, s);
    (sum(a * b) + sum(y * y)).backward();
    return l.weight.grad().value().to_vector<double>();
  };
  const std::vector<double> a = both(true), b = both(false);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4 * (1.0 + std::fabs(a[i])));
}

TEST(Pending, SecondDerivativesGoThroughIt) {
  const auto second = [](bool asks) {
    const Leaves l(16);
    const Variable y = batch_norm(conv2d(l.x, l.weight, {}, {}, {}), l.gamma, l.beta, nullptr, {});
    if (asks) (void)std::as_const(y).value();
    const Variable out = conv2d(y, l.next, {}, {}, half(l.next.shape()));
    const Variable g = grad({sum(out * out)}, {l.weight}, {.create_graph = true})[0];
    return grad({sum(g * g)}, {l.gamma})[0].value().to_vector<double>();
  };
  EXPECT_EQ(second(true), second(false));
}

}  // namespace
}  // namespace espalier
