// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <espalier/nn/module/detail/walker.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

namespace {

class SeedGenerators : public detail::Walker {
 public:
  explicit SeedGenerators(uint64_t seed) : seed_(seed) {}
  void on_rng(const std::string& name, Rng& rng) override { rng = Rng(seed_, "rng/" + name); }

 private:
  uint64_t seed_;
};

// `fill` writes the value; the parameter stays zero where its mask is.
template <class F>
void fill_value(Parameter& parameter, F fill) {
  ESPALIER_CHECK(parameter.defined(), ValueError, "init: the parameter is undefined");
  fill(parameter.value.value());
  parameter.apply_mask();
}

}  // namespace

void init_parameters(Module& model, uint64_t seed) {
  std::vector<NamedModule> modules = model.named_modules();
  // Parts come after the module that holds them; backwards, a composite has the last word.
  std::ranges::reverse(modules);
  for (const NamedModule& part : modules) {
    const std::string prefix = part.name.empty() ? "init/" : "init/" + part.name + ".";
    part.module->reset_parameters(
        [&](std::string_view member) { return Rng(seed, prefix + std::string(member)); });
  }
  SeedGenerators(seed).walk(model);
  model.zero_grad();
}

namespace init {

Fans fans(const Shape& weight) {
  ESPALIER_CHECK(weight.rank() >= 2,
                 ShapeError,
                 "init: fan-in and fan-out need a weight of rank 2 or more, got ",
                 weight);
  int64_t positions = 1;
  for (int d = 2; d < weight.rank(); ++d) positions *= weight[d];
  return {weight[1] * positions, weight[0] * positions};
}

namespace {

double fan_of(const Parameter& weight, Fan fan) {
  const Fans both = fans(weight.shape());
  return static_cast<double>(std::max<int64_t>(1, fan == Fan::In ? both.in : both.out));
}

double fan_sum(const Parameter& weight) {
  const Fans both = fans(weight.shape());
  return static_cast<double>(std::max<int64_t>(1, both.in + both.out));
}

}  // namespace

void kaiming_normal(Parameter& weight, Rng rng, Fan fan, double gain) {
  normal(weight, rng, 0.0, gain / std::sqrt(fan_of(weight, fan)));
}

void kaiming_uniform(Parameter& weight, Rng rng, Fan fan, double gain) {
  const double bound = gain * std::sqrt(3.0 / fan_of(weight, fan));
  uniform(weight, rng, -bound, bound);
}

void xavier_normal(Parameter& weight, Rng rng, double gain) {
  normal(weight, rng, 0.0, gain * std::sqrt(2.0 / fan_sum(weight)));
}

void xavier_uniform(Parameter& weight, Rng rng, double gain) {
  const double bound = gain * std::sqrt(6.0 / fan_sum(weight));
  uniform(weight, rng, -bound, bound);
}

void orthogonal(Parameter& weight, Rng rng, double gain) {
  const int64_t rows = weight.shape().size(0);
  const int64_t columns = fans(weight.shape()).in;
  const int64_t count = std::min(rows, columns);   // vectors to make orthonormal
  const int64_t length = std::max(rows, columns);  // of each
  std::vector<std::vector<double>> vectors(static_cast<size_t>(count));
  for (auto& vector : vectors) {
    vector.resize(static_cast<size_t>(length));
    for (double& x : vector) x = rng.normal();
  }
  const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0.0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  for (size_t i = 0; i < vectors.size(); ++i) {
    // Twice is enough: a second pass removes what rounding left of the first.
    for (int pass = 0; pass < 2; ++pass) {
      for (size_t j = 0; j < i; ++j) {
        const double along = dot(vectors[i], vectors[j]);
        for (size_t k = 0; k < vectors[i].size(); ++k) vectors[i][k] -= along * vectors[j][k];
      }
    }
    const double norm = std::sqrt(dot(vectors[i], vectors[i]));
    for (double& x : vectors[i]) x /= norm;
  }
  fill_value(weight, [&](Tensor& value) {
    dispatch_floating(value.dtype(), "orthogonal", [&](auto zero) {
      using T = decltype(zero);
      T* out = value.data<T>();
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < columns; ++c) {
          const double x = rows <= columns
                               ? vectors[static_cast<size_t>(r)][static_cast<size_t>(c)]
                               : vectors[static_cast<size_t>(c)][static_cast<size_t>(r)];
          out[r * columns + c] = static_cast<T>(gain * x);
        }
      }
    });
  });
}

void truncated_normal(Parameter& weight, Rng rng, double mean, double stddev, double limit) {
  ESPALIER_CHECK(limit > 0.0, ValueError, "truncated_normal: expects limit > 0, got ", limit);
  fill_value(weight, [&](Tensor& value) {
    dispatch_floating(value.dtype(), "truncated_normal", [&](auto zero) {
      using T = decltype(zero);
      T* out = value.data<T>();
      for (int64_t i = 0; i < value.numel(); ++i) {
        double x = rng.normal();
        while (std::abs(x) > limit) x = rng.normal();
        out[i] = static_cast<T>(mean + stddev * x);
      }
    });
  });
}

void normal(Parameter& weight, Rng rng, double mean, double stddev) {
  fill_value(weight, [&](Tensor& value) { fill_normal_(value, rng, mean, stddev); });
}

void uniform(Parameter& weight, Rng rng, double low, double high) {
  fill_value(weight, [&](Tensor& value) { fill_uniform_(value, rng, low, high); });
}

void constant(Parameter& weight, double number) {
  fill_value(weight, [&](Tensor& value) { value.fill_(number); });
}

void zeros(Parameter& weight) {
  constant(weight, 0.0);
}
void ones(Parameter& weight) {
  constant(weight, 1.0);
}

}  // namespace init

}  // namespace espalier::nn
