// SPDX-License-Identifier: Apache-2.0
/// Second derivatives: products with the Hessian, gradients of samples, and inverse Fisher blocks,
/// against hand-worked cases and dense float64 matrices.
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/prune/curvature/block_fisher.h>
#include <espalier/prune/curvature/linalg/cholesky.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::kExact;
using testing::kHand;
using testing::linear_chain;
using testing::random_matrix;
using testing::tiny_conv_net;

constexpr double kDifference = 1e-6;  // of central differences, relative to the largest

Variable leaf(const Shape& shape, const std::vector<double>& values) {
  return Variable(Tensor::from<double>(shape, values), true);
}

TEST(HessianVectorProduct, OfAQuadraticIsItsMatrixTimesTheVector) {
  // f = x^2 + x y + y^2 / 2 + c y: H = [[2,1],[1,1]] in (x, y), and c is linear: H v of c is v_y.
  const Variable x = leaf({1}, {3});
  const Variable y = leaf({1}, {-5});
  const Variable c = leaf({1}, {7});
  const Variable f = sum(add(add(mul(x, x), mul(x, y)), add(mul(mul(y, y), 0.5), mul(c, y))));
  const std::vector<Tensor> v = {Tensor::from<double>({1}, {1}),
                                 Tensor::from<double>({1}, {10}),
                                 Tensor::from<double>({1}, {100})};
  const auto product = hessian_vector_product(f, {x, y, c}, v);
  expect_near(product[0], {2 * 1 + 10}, kHand);
  expect_near(product[1], {1 + 10 + 100}, kHand);
  expect_near(product[2], {10}, kHand);
}

TEST(HessianVectorProduct, IsZeroWhereNothingBends) {
  const Variable x = leaf({2}, {1, 2});
  const Variable unused = leaf({3}, {1, 2, 3});
  const std::vector<Tensor> v = {Tensor::ones({2}, DType::F64), Tensor::ones({3}, DType::F64)};
  const auto product = hessian_vector_product(sum(mul(x, 4.0)), {x, unused}, v);
  expect_near(product[0], {0, 0}, 0.0);
  expect_near(product[1], {0, 0, 0}, 0.0);
  EXPECT_THROW(hessian_vector_product(sum(x), {x}, v), ShapeError);
}

PruneInputs images(int64_t count, DType dtype = DType::F64) {
  Tensor pixels = Tensor::empty({count, 3, 8, 8}, DType::F64);
  Rng rng(6, "images");
  fill_normal_(pixels, rng, 0.0, 1.0);
  std::vector<int64_t> labels(static_cast<size_t>(count));
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int64_t>(i % 3);
  const data::Batch batch{pixels.to(dtype), Tensor::from<int64_t>({count}, labels)};
  return {.batch = [batch](int64_t) { return batch; }, .single_batch = true};
}

std::vector<Tensor> directions(const std::vector<nn::NamedParameter>& weights, uint64_t seed) {
  std::vector<Tensor> v;
  Rng rng(seed, "directions");
  for (const nn::NamedParameter& one : weights) {
    v.push_back(Tensor::empty(one.parameter->shape(), DType::F64));
    fill_normal_(v.back(), rng, 0.0, 1.0);
  }
  return v;
}

double dot(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double sum = 0.0;
  for (size_t w = 0; w < a.size(); ++w) {
    for (int64_t i = 0; i < a[w].numel(); ++i)
      sum += a[w].data<double>()[i] * b[w].data<double>()[i];
  }
  return sum;
}

TEST(Landscape, ItsHessianIsTheDifferenceOfGradientsAndSymmetric) {
  const auto net = tiny_conv_net();
  net->to(DType::F64);
  const PruneInputs inputs = images(12);
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  const std::vector<Tensor> u = directions(weights, 1);
  const std::vector<Tensor> v = directions(weights, 2);
  for (const ScoringMode mode : {ScoringMode::Eval, ScoringMode::Train}) {
    Landscape here(*net, weights, inputs, {.mode = mode});
    const std::vector<Tensor> hv = here.hessian_times(inputs.batch(0), v);
    const std::vector<Tensor> hu = here.hessian_times(inputs.batch(0), u);
    EXPECT_NEAR(dot(u, hv), dot(v, hu), kExact * std::abs(dot(u, hv)));
    constexpr double kStep = 1e-7;  // so small that no ReLU turns
    const auto gradient_at = [&](double t) {
      const auto moved = net->clone();
      for (size_t w = 0; w < weights.size(); ++w) {
        double* x = moved->parameter(weights[w].name).value.value().data<double>();
        for (int64_t i = 0; i < v[w].numel(); ++i) x[i] += t * v[w].data<double>()[i];
      }
      return Landscape(*moved, weights, inputs, {.mode = mode}).gradient(inputs.batch(0));
    };
    const auto ahead = gradient_at(kStep);
    const auto behind = gradient_at(-kStep);
    const double size = std::sqrt(dot(hv, hv));
    ASSERT_GT(size, 0.0);
    for (size_t w = 0; w < weights.size(); ++w) {
      for (int64_t i = 0; i < v[w].numel(); ++i) {
        const double difference =
            (ahead[w].data<double>()[i] - behind[w].data<double>()[i]) / (2 * kStep);
        ASSERT_NEAR(hv[w].data<double>()[i], difference, kDifference * size) << weights[w].name;
      }
    }
  }
}

TEST(SampleGradients, AreThoseOfSingleSamplesAndAverageToTheBatchs) {
  const auto net = tiny_conv_net();
  net->to(DType::F64);
  const PruneInputs inputs = images(6);
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  std::vector<std::vector<Tensor>> seen;
  visit_sample_gradients(*net, weights, inputs, {.gradients = 100}, [&](auto gradients) {
    seen.emplace_back(gradients.begin(), gradients.end());
  });
  ASSERT_EQ(seen.size(), 6U);  // all that there are
  const auto of_batch = Landscape(*net, weights, inputs, {}).gradient(inputs.batch(0));
  for (size_t w = 0; w < weights.size(); ++w) {
    for (int64_t i = 0; i < of_batch[w].numel(); ++i) {
      double mean = 0.0;
      for (const auto& one : seen) mean += one[w].data<double>()[i] / 6.0;
      ASSERT_NEAR(mean, of_batch[w].data<double>()[i], kExact) << weights[w].name;
    }
  }
  // Groups of two are means of neighbours, not sums.
  size_t pair = 0;
  visit_sample_gradients(
      *net, weights, inputs, {.gradients = 2, .samples = 2}, [&](auto gradients) {
        for (int64_t i = 0; i < gradients[0].numel(); ++i) {
          const double mean = 0.5 * (seen[2 * pair][0].template data<double>()[i] +
                                     seen[2 * pair + 1][0].template data<double>()[i]);
          ASSERT_NEAR(gradients[0].template data<double>()[i], mean, kExact);
        }
        ++pair;
      });
  EXPECT_EQ(pair, 2U);
}

TEST(SampleGradients, AreZeroAtRemovedWeightsAndComeFromOneBatchAfterTheOther) {
  const auto net = linear_chain({{{1, 2}, {1, -2}}});
  net->parameter("0.weight").set_mask(Tensor::from<uint8_t>({1, 2}, {0, 1}));
  PruneInputs inputs;
  std::vector<int64_t> asked;
  inputs.batch = [&](int64_t index) {
    asked.push_back(index);
    return data::Batch{Tensor::full({3, 2}, static_cast<double>(index + 1)),
                       Tensor::zeros({3}, DType::I64)};
  };
  inputs.loss = [](const Variable& y, const Tensor&) { return mean(y); };
  std::vector<double> found;
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  visit_sample_gradients(*net, weights, inputs, {.gradients = 5}, [&](auto gradients) {
    EXPECT_EQ(gradients[0].template data<double>()[0], 0.0);
    found.push_back(gradients[0].template data<double>()[1]);
  });
  EXPECT_EQ(found, (std::vector<double>{1, 1, 1, 2, 2}));
  EXPECT_EQ(asked, (std::vector<int64_t>{0, 1}));
  const auto ignore = [](auto) {};
  EXPECT_THROW(
      visit_sample_gradients(*net, weights, inputs, {.gradients = 1, .samples = 4}, ignore),
      ValueError);
  EXPECT_THROW(visit_sample_gradients(*net, weights, {}, {}, ignore), ValueError);
}

TEST(InverseFisher, IsTheHandWorkedOneInAnyOrder) {
  // G = [[1,0],[1,1]], damping 1, N = 2: F = [[2,.5],[.5,1.5]].
  const std::vector<double> inverse = {0.5454545, -0.1818182, -0.1818182, 0.7272727};
  const std::vector<std::vector<double>> gradients = {{1, 0}, {1, 1}};
  for (const auto& [first, second] : {std::pair{0, 1}, std::pair{1, 0}}) {
    InverseFisher fisher(2, 2, 1.0, 2);
    fisher.add(gradients[static_cast<size_t>(first)]);
    fisher.add(gradients[static_cast<size_t>(second)]);
    ASSERT_EQ(fisher.blocks(), 1);
    expect_near(fisher.inverse(0), inverse, kHand);
  }
}

/// damping I + 1/N sum g g^T over the entries begin..end-1, as a dense matrix.
Tensor dense_fisher(const Tensor& gradients, int64_t begin, int64_t end, double damping) {
  const int64_t n = end - begin;
  Tensor fisher = Tensor::zeros({n, n}, DType::F64);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = i == j ? damping : 0.0;
      for (int64_t k = 0; k < gradients.size(0); ++k) {
        const double* g = gradients.data<double>() + k * gradients.size(1) + begin;
        sum += g[i] * g[j] / static_cast<double>(gradients.size(0));
      }
      fisher.data<double>()[i * n + j] = sum;
    }
  }
  return fisher;
}

Tensor identity(int64_t n) {
  Tensor one = Tensor::zeros({n, n}, DType::F64);
  for (int64_t i = 0; i < n; ++i) one.data<double>()[i * n + i] = 1.0;
  return one;
}

TEST(InverseFisher, OfBlocksEqualsDenseInverses) {
  constexpr int64_t kEntries = 23;
  constexpr double kDamping = 1e-3;
  const Tensor gradients = random_matrix(9, kEntries, 4);  // fewer than entries: damping decides
  for (const int64_t block : {1, 5, 23, 40}) {
    InverseFisher fisher(kEntries, block, kDamping, gradients.size(0));
    for (int64_t k = 0; k < gradients.size(0); ++k) {
      fisher.add({gradients.data<double>() + k * kEntries, static_cast<size_t>(kEntries)});
    }
    int64_t covered = 0;
    for (int64_t b = 0; b < fisher.blocks(); ++b) {
      const int64_t n = fisher.size(b);
      const Tensor dense = dense_fisher(gradients, fisher.begin(b), fisher.begin(b) + n, kDamping);
      const auto right = solve_positive(dense, identity(n)).to_vector<double>();
      const double largest = *std::max_element(right.begin(), right.end());
      expect_near(fisher.inverse(b), right, kExact * largest);
      // Trap: rounding that makes the recursion lose its symmetry.
      const Tensor inverse = fisher.inverse(b);
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          ASSERT_EQ(inverse.data<double>()[i * n + j], inverse.data<double>()[j * n + i]);
        }
      }
      covered += n;
    }
    EXPECT_EQ(covered, kEntries);
  }
}

TEST(InverseFisher, BlocksOfOneAreTheDiagonalThatOptimalBrainDamageScoresWith) {
  // mean g^2 of two gradients: (1 + 1) / 2 and (0 + 9) / 2.
  InverseFisher fisher(2, 1, 0.25, 2);
  fisher.add(std::vector<double>{1, 0});
  fisher.add(std::vector<double>{-1, 3});
  EXPECT_NEAR(1.0 / fisher.inverse(0).item() - 0.25, 1.0, kHand);
  EXPECT_NEAR(1.0 / fisher.inverse(1).item() - 0.25, 4.5, kHand);
}

TEST(InverseFisher, RefusesWhatHasNoInverse) {
  EXPECT_THROW(InverseFisher(4, 2, 0.0, 1), ValueError);  // fewer gradients than entries
  EXPECT_THROW(InverseFisher(4, 0, 1.0, 1), ValueError);
  InverseFisher fisher(4, 2, 1.0, 1);
  EXPECT_THROW(fisher.add(std::vector<double>{1, 2}), ShapeError);
}

TEST(FisherBlocks, AreOfSamplesNotOfTheBatchsGradient) {
  // Trap: the square of a batch's mean gradient. y = w.x, L = mean y; samples x = 1 and -1 cancel.
  const auto net = linear_chain({{{1, 1}, {2}}});
  PruneInputs inputs;
  inputs.single_batch = true;
  inputs.batch = [](int64_t) {
    return data::Batch{Tensor::from<float>({2, 1}, {1, -1}), Tensor::zeros({2}, DType::I64)};
  };
  inputs.loss = [](const Variable& y, const Tensor&) { return mean(y); };
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  std::vector<std::string> notes;
  FisherBlocks fisher({.data = {.gradients = 4}, .damping = 1.0});
  EXPECT_THROW(fisher.of("0.weight"), ValueError);
  fisher.find(*net, weights, inputs, &notes);
  EXPECT_NEAR(fisher.of("0.weight").inverse(0).item(), 1.0 / (1.0 + 1.0), kHand);
  ASSERT_EQ(notes.size(), 1U);  // two samples instead of four
  fisher.forget();
  EXPECT_THROW(fisher.of("0.weight"), ValueError);
}

}  // namespace
}  // namespace espalier::prune
