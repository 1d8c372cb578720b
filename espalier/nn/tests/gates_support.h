// SPDX-License-Identifier: Apache-2.0
/// What the tests of gates share: small networks with gates, as they are after training.
#pragma once

#include <algorithm>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

#include <espalier/nn/gates/attach.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/tests/support.h>

namespace espalier::nn {

inline constexpr double kNetworkTolerance = 1e-5;  // of logits with and without skipping

inline void expect_near(const Tensor& got, const std::vector<double>& expected, double tolerance) {
  const std::vector<double> values = got.to_vector<double>();
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], tolerance) << i;
}

/// A network, a quarter as wide unless `name` ends in "of full width", with scales and statistics
/// that are not the initial ones.
inline SavedModel network(std::string name) {
  SavedModel out;
  const size_t wide = name.find(" of full width");
  out.options.width = wide == std::string::npos ? 0.25 : 1.0;
  name = name.substr(0, wide);
  out.name = name;
  out.module = make_model(name, out.options);
  Rng rng(5, "scales");
  for (const NamedModule& part : out.module->named_modules()) {
    if (auto* norm = dynamic_cast<BatchNorm*>(part.module)) {
      fill_uniform_(norm->weight.value.value(), rng, 0.5, 1.5);
      fill_uniform_(norm->bias.value.value(), rng, -0.2, 0.2);
      fill_uniform_(norm->running_var, rng, 0.5, 1.5);
    }
  }
  return out;
}

inline Variable images(int64_t count) {
  Tensor x = Tensor::empty({count, 3, 32, 32});
  Rng rng(9, "images");
  fill_normal_(x, rng);
  return Variable(x.to(Layout::Nchw16n));
}

inline Tensor logits(Module& model, const Variable& x) {
  const EvalScope eval(model);
  const NoGrad no_grad;
  return model(x).value();
}

inline void add_gates(Module& model, const std::string& kind, int64_t kept_share = 2) {
  for (const GateSite& site : gate_sites(model, images(1))) {
    if (kind == "channels") {
      const auto gate = add_saliency_gate(site);
      Rng rng(3, site.name);
      fill_normal_(gate->weight.value.value(), rng, 0.0, 0.3);
      gate->keep(std::max<int64_t>(1, gate->kept() / kept_share));
    } else {
      add_partial_sum_gate(site, {.parts = 2});
    }
  }
}

/// Networks with gates of a kind, by their names.
class GatedNetworks : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  std::string kind() const { return std::get<0>(GetParam()); }
  SavedModel gated() const {
    SavedModel out = network(std::get<1>(GetParam()));
    add_gates(*out.module, kind());
    // Statistics that fit, else boosts of boosted channels grow beyond all measure.
    const NoGrad no_grad;
    out.module->train();
    for (int pass = 0; pass < 20; ++pass) (*out.module)(images(2));
    return out;
  }
};

}  // namespace espalier::nn
