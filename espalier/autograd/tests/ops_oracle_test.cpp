// SPDX-License-Identifier: Apache-2.0
// Ops against PyTorch's, value and gradients; see oracles/ops.py and its neighbours.
#include <limits>

#include <espalier/autograd/ops.h>

#include "oracle.h"

namespace espalier {
namespace {

Variable leaf(const Shape& shape, int64_t seed) {
  return Variable(made(shape, seed), true);
}

Variable vector_of(const std::vector<double>& values) {
  return Variable(Tensor::from({static_cast<int64_t>(values.size())}, values), true);
}

TEST(OpsOracle, ElementwiseReductionsAndSorting) {
  Oracle oracle(ESPALIER_ORACLES, "ops");
  const Variable x = leaf({2, 3, 4}, 1), y = leaf({3, 1}, 2);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Variable with_nan = vector_of({1, nan, 2, nan, -1, 2});
  const Variable other = vector_of({1, 0, nan, nan, 2, 1});
  const double scalar = x.value().at({0, 1, 2});
  const auto compare = [&](const std::string& name, auto holds) {
    oracle.expect(name, holds(x, y));
    oracle.expect(name + ".nan", holds(with_nan, other));
    oracle.expect(name + ".scalar", holds(x, scalar));
  };
  compare("greater", [](const auto& a, const auto& b) { return greater(a, b); });
  compare("greater_equal", [](const auto& a, const auto& b) { return greater_equal(a, b); });
  compare("less", [](const auto& a, const auto& b) { return less(a, b); });
  compare("less_equal", [](const auto& a, const auto& b) { return less_equal(a, b); });
  compare("eq", [](const auto& a, const auto& b) { return equal(a, b); });
  compare("not_equal", [](const auto& a, const auto& b) { return not_equal(a, b); });
  oracle.expect("where", where(greater(x, y), x * x, y), {x, y});

  oracle.expect("minus", 1.5 - x, {x});
  oracle.expect("plus", 1.5 + x, {x});
  oracle.expect("over", 1.5 / x, {x});
  oracle.expect("gelu_tanh", gelu_tanh(x * 3.0), {x});
  const Variable far = vector_of({-30, -5, -0.0, 0, 5, 30});
  oracle.expect("gelu_tanh.far", gelu_tanh(far), {far});

  oracle.expect("min.all", min(x), {x});
  oracle.expect("min.middle", min(x, {1}, true), {x});
  oracle.expect("min.outer", min(x, {0, 2}), {x});
  const auto position = [&](const std::string& name, auto at) {
    oracle.expect(name + ".all", at(x, std::nullopt, false));
    oracle.expect(name + ".rows", at(x, 2, false));
    oracle.expect(name + ".middle", at(x, 1, true));
    oracle.expect(name + ".nan", at(with_nan, std::nullopt, false));
  };
  position("argmax", &argmax);
  position("argmin", &argmin);
  for (int dim = 0; dim < 3; ++dim) {
    oracle.expect(cat("cumsum", dim), cumsum(x, dim), {x});
    for (const bool down : {false, true}) {
      const Sorted sorted = sort(x, dim, down);
      const std::string name = cat("sort", dim, down ? "down" : "up");
      oracle.expect(name, sorted.values, {x});
      oracle.expect(name + ".at", sorted.indices);
    }
  }
  for (const bool down : {false, true}) {
    const Sorted sorted = sort(vector_of({2, nan, 1, 2, nan, 1}), 0, down);
    oracle.expect(cat("sort.ties", down ? "down" : "up", ".at"), sorted.indices);
  }

  const auto transposed = [&](const std::string& name,
                              const Shape& x_shape,
                              const Shape& w_shape,
                              const ConvTranspose2dOptions& options) {
    const Variable a = leaf(x_shape, 3), w = leaf(w_shape, 4);
    const Variable b = leaf({w_shape[1] * options.groups}, 5);
    oracle.expect("transpose." + name, conv_transpose2d(a, w, b, options), {a, w, b});
  };
  transposed("plain", {2, 2, 3, 2}, {2, 3, 3, 2}, {});
  transposed(
      "doubles", {1, 2, 3, 4}, {2, 2, 3, 3}, {.stride = 2, .padding = 1, .output_padding = 1});
  transposed("uneven",
             {1, 1, 3, 4},
             {1, 2, 2, 3},
             {.stride = {3, 1}, .padding = {0, 1}, .output_padding = {2, 0}});
  transposed("dilated",
             {1, 2, 3, 3},
             {2, 2, 2, 3},
             {.padding = 1, .output_padding = {2, 0}, .dilation = {3, 2}});
  transposed("groups", {2, 4, 2, 2}, {4, 2, 3, 3}, {.stride = 2, .padding = 1, .groups = 2});
  transposed("depthwise", {1, 3, 3, 2}, {3, 1, 3, 3}, {.padding = 1, .groups = 3});
  oracle.expect_all_used();
}

TEST(OpsOracle, LossesWithClassWeightsIgnoredLabelsAndSmoothing) {
  Oracle oracle(ESPALIER_ORACLES, "losses");
  const Variable x = leaf({6, 4}, 1);
  const Tensor weights = Tensor::from<double>({4}, {0.5, 2.0, 0.0, 1.25});
  const Tensor labels = Tensor::from<int64_t>({6}, {1, 0, 3, 2, 1, 3});
  const Tensor ignored = Tensor::from<int64_t>({6}, {1, -100, 3, 2, -100, 3});
  const std::vector<std::pair<std::string, Reduction>> reductions = {
      {"mean", Reduction::Mean}, {"sum", Reduction::Sum}, {"none", Reduction::None}};
  for (const auto& [reduced, reduction] : reductions) {
    for (const bool weighted : {false, true}) {
      for (const bool some : {false, true}) {
        const std::string flags = cat(reduced, ".", int{weighted}, int{some});
        const Tensor& target = some ? ignored : labels;
        const Tensor class_weights = weighted ? weights : Tensor();
        const auto ignore = some ? std::optional<int64_t>(-100) : std::nullopt;
        for (const auto& [told, smoothing] :
             std::vector<std::pair<std::string, double>>{{"0.0", 0}, {"0.3", 0.3}, {"1.0", 1}}) {
          oracle.expect(cat("ce.", flags, ".", told),
                        cross_entropy(x * 3.0,
                                      target,
                                      {.class_weights = class_weights,
                                       .ignore_index = ignore,
                                       .label_smoothing = smoothing,
                                       .reduction = reduction}),
                        {x});
        }
        oracle.expect(
            cat("nll.", flags),
            nll_loss(
                x,
                target,
                {.class_weights = class_weights, .ignore_index = ignore, .reduction = reduction}),
            {x});
      }
    }
  }
  oracle.expect(
      "ce.class",
      cross_entropy(
          x, labels, {.class_weights = weights, .ignore_index = 3, .label_smoothing = 0.1}),
      {x});
  const Tensor none = Tensor::from<int64_t>({6}, std::vector<int64_t>(6, -100));
  oracle.expect("ce.none", cross_entropy(x, none, {.ignore_index = -100}));
  oracle.expect("nll.none", nll_loss(x, none, {.ignore_index = -100}));
  oracle.expect_all_used();
}

TEST(OpsOracle, PoolsWithRectanglesDilationAndCeilMode) {
  Oracle oracle(ESPALIER_ORACLES, "pooling");
  const Variable x = leaf({1, 2, 7, 6}, 1);
  const std::vector<std::pair<std::string, PoolOptions>> windows = {
      {"square", {.kernel = 3, .stride = 2, .padding = 1}},
      {"tall", {.kernel = {3, 2}, .stride = {2, 3}, .padding = {1, 0}}},
      {"wide", {.kernel = {1, 4}, .stride = {3, 1}, .padding = {0, 2}}},
      {"strides_apart", {.kernel = 2, .stride = {5, 4}}}};
  // The lanes' kernels are others.
  for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    const auto in = [&] { return to_layout(x, layout); };
    const auto plain = [](const Variable& y) { return to_layout(y, Layout::Nchw); };
    for (const auto& [name, options] : windows) {
      for (const bool ceil : {false, true}) {
        PoolOptions o = options;
        o.ceil_mode = ceil;
        oracle.expect(cat("max.", name, ".", int{ceil}, 0), plain(max_pool2d(in(), o)), {x});
        o.dilation = {1, 2};
        if (name != "strides_apart") {
          oracle.expect(cat("max.", name, ".", int{ceil}, 1), plain(max_pool2d(in(), o)), {x});
        }
        o.dilation = 1;
        for (const bool pad : {false, true}) {
          o.count_include_pad = pad;
          oracle.expect(
              cat("mean.", name, ".", int{ceil}, int{pad}), plain(avg_pool2d(in(), o)), {x});
        }
      }
    }
    oracle.expect(
        "max.dilated",
        plain(max_pool2d(in(), {.kernel = {2, 3}, .stride = 1, .padding = 1, .dilation = {3, 2}})),
        {x});
  }
  oracle.expect_all_used();
}

}  // namespace
}  // namespace espalier
