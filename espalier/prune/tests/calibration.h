// SPDX-License-Identifier: Apache-2.0
/// What the tests of post-training methods share: matrices, their errors, and methods run once.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <espalier/core/kernels/gemm.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune::testing {

using Options = std::map<std::string, std::string>;

inline constexpr double kHand = 1e-6;
inline constexpr double kExact = 1e-9;

inline void expect_near(const Tensor& a, const std::vector<double>& b, double tolerance) {
  const auto x = a.to_vector<double>();
  ASSERT_EQ(x.size(), b.size());
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], b[i], tolerance) << i;
}

inline Tensor random_matrix(int64_t rows, int64_t columns, uint64_t seed) {
  Rng rng(seed, "test matrix");
  Tensor x = Tensor::empty({rows, columns}, DType::F64);
  fill_normal_(x, rng, 0.0, 1.0);
  return x;
}

/// 2/N Xᵀ X of inputs (positions, columns).
inline Tensor hessian_of(const Tensor& x) {
  Tensor h = Tensor::empty({x.size(1), x.size(1)}, DType::F64);
  gemm(x.transpose(0, 1), x, h);
  for (int64_t i = 0; i < h.numel(); ++i)
    h.data<double>()[i] *= 2.0 / static_cast<double>(x.size(0));
  return h;
}

/// (a - b)ᵀ H (a - b) / 2, summed over rows.
inline double quadratic_error(const Tensor& a, const Tensor& b, const Tensor& h) {
  Tensor d = a.clone();
  for (int64_t i = 0; i < d.numel(); ++i) d.data<double>()[i] -= b.data<double>()[i];
  Tensor dh = Tensor::empty(d.shape(), DType::F64);
  gemm(d, h, dh);
  double sum = 0.0;
  for (int64_t i = 0; i < d.numel(); ++i) sum += 0.5 * d.data<double>()[i] * dh.data<double>()[i];
  return sum;
}

inline PruneInputs inputs_of(const Tensor& rows) {
  PruneInputs inputs{.seed = 4};
  inputs.batch = [rows](int64_t) {
    return data::Batch{rows, Tensor::zeros({rows.size(0)}, DType::I64)};
  };
  return inputs;
}

/// Runs a method that prunes before training.
inline void prune_now(const std::string& name,
                      const Options& given,
                      nn::Module& model,
                      const PruneInputs& inputs,
                      UpdateReport* report = nullptr) {
  const auto pruner = make_pruner(name, parse_settings(method(name), given), inputs);
  nn::Sgd sgd(model, {});
  nn::TrainState state{.model = model, .optimizer = sgd};
  pruner->before_training(state);
  if (report != nullptr) *report = pruner->updates().at(0);
}

}  // namespace espalier::prune::testing
