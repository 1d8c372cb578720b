// SPDX-License-Identifier: Apache-2.0
/// What tests share that compare with PyTorch: inputs by formula, results from the .npz that a
/// script in `oracles/` wrote. All in float64.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <espalier/autograd/variable.h>
#include <espalier/core/npz.h>

namespace espalier {

/// Two implementations in float64 differ by their order of operations.
inline constexpr double kOracleTolerance = 1e-10;

/// As `made` of oracles/oracle.py.
inline Tensor made(const Shape& shape, int64_t seed) {
  Tensor out = Tensor::empty(shape, DType::F64);
  for (int64_t i = 0; i < out.numel(); ++i) {
    out.data<double>()[i] = static_cast<double>((i * 37 + seed * 101) % 199) / 100.0 - 0.99;
  }
  return out;
}

/// The results of one script.
class Oracle {
 public:
  Oracle(const std::string& folder, const std::string& script)
      : arrays_(load_npz(folder + "/" + script + ".npz")) {}

  /// The value is PyTorch's, and so are the gradients of `inputs`, when it has them.
  void expect(const std::string& name,
              const Variable& output,
              const std::vector<Variable>& inputs = {}) {
    expect(name, output.value());
    if (inputs.empty()) return;
    const std::vector<Variable> gradients =
        grad({output}, inputs, {.grad_outputs = {Variable(made(output.shape(), 7))}});
    for (size_t i = 0; i < gradients.size(); ++i) {
      expect(name + ".d" + std::to_string(i), gradients[i].value());
    }
  }

  void expect(const std::string& name, const Tensor& got) {
    ASSERT_TRUE(arrays_.contains(name)) << name;
    const Tensor& wanted = arrays_.at(name);
    used_.insert(name);
    ASSERT_EQ(got.shape(), wanted.shape()) << name;
    const std::vector<double> a = got.to_vector<double>();
    const std::vector<double> b = wanted.to_vector<double>();
    for (size_t i = 0; i < a.size(); ++i) {
      if (std::isnan(b[i])) {
        EXPECT_TRUE(std::isnan(a[i])) << name << " at " << i;
      } else {
        EXPECT_NEAR(a[i], b[i], kOracleTolerance * (1.0 + std::abs(b[i]))) << name << " at " << i;
      }
    }
  }

  /// No result of the script was left out.
  void expect_all_used() const {
    for (const auto& [name, array] : arrays_) EXPECT_TRUE(used_.contains(name)) << name;
  }

 private:
  std::map<std::string, Tensor> arrays_;
  std::set<std::string> used_;
};

}  // namespace espalier
