// SPDX-License-Identifier: Apache-2.0
// Kernels that read x through a map give the bits of the same kernels on the mapped tensor, in
// every form, geometry and width of plane, and leave zeros in lanes without a sample.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/core/kernels/batch_norm.h>
#include <espalier/core/random.h>
#include <espalier/sparse/forms/conv2d.h>
#include <espalier/sparse/forms/form.h>

namespace espalier::sparse {
namespace {

Tensor random_lanes(const Shape& shape, uint64_t seed) {
  Tensor t = Tensor::empty(shape);
  Rng rng(seed, "mapped");
  for (int64_t i = 0; i < t.numel(); ++i) {
    t.data<float>()[i] = static_cast<float>(rng.uniform64() * 2.0 - 1.0);
  }
  return t.to(Layout::Nchw16n);
}

struct Geometry {
  int64_t n, plane;
  Conv2dOptions options;
};

const std::vector<Geometry> kGeometries = {
    {17, 9, {.padding = 1}},
    {32, 8, {.padding = 1}},
    {40, 4, {.padding = 1}},
    {16, 2, {.padding = 1}},
    {70, 1, {.padding = 1}},
    {16, 9, {.stride = 2, .padding = 1}},
    {33, 8, {.stride = 2, .padding = 1}},
    {16, 6, {}},
};

ChannelMap map_of(int64_t channels, bool relu) {
  ChannelMap map{.relu = relu};
  for (int64_t c = 0; c < channels; ++c) {
    map.scale.push_back(0.3 + 0.17 * static_cast<double>(c));
    map.shift.push_back(0.4 - 0.21 * static_cast<double>(c));
  }
  return map;
}

Tensor through(const ChannelMap& map, const Tensor& x) {
  Tensor y = Tensor::empty_like(x);
  scale_shift(x, map.scale, map.shift, map.relu, y);
  return y;
}

// All floats, those of lanes without a sample included.
std::vector<float> memory(const Tensor& t) {
  return {t.data<float>(), t.data<float>() + t.physical_numel()};
}

// `gated` is `dx` where y > 0, else 0, and the gate's sums are over it, by loops in float64.
void expect_gated(const GatedResult& gate,
                  const Tensor& x,
                  const Tensor& y,
                  const Tensor& dx,
                  const Tensor& gated) {
  const std::vector<double> xs = x.to_vector<double>(), ys = y.to_vector<double>();
  const std::vector<double> all = dx.to_vector<double>(), open = gated.to_vector<double>();
  const auto channels = static_cast<size_t>(x.size(1));
  const auto plane = static_cast<size_t>(x.size(2) * x.size(3));
  ASSERT_EQ(gate.sums.g.size(), channels);
  std::vector<double> g(channels), g_x(channels), size(channels);
  for (size_t i = 0; i < xs.size(); ++i) {
    const size_t c = i / plane % channels;
    ASSERT_EQ(open[i], ys[i] > 0.0 ? all[i] : 0.0);
    g[c] += open[i];
    g_x[c] += open[i] * (xs[i] - gate.center[c]);
    size[c] += std::fabs(open[i]) * (1.0 + std::fabs(xs[i] - gate.center[c]));
  }
  for (size_t c = 0; c < channels; ++c) {
    EXPECT_NEAR(gate.sums.g[c], g[c], 2e-6 * size[c]);
    EXPECT_NEAR(gate.sums.g_x[c], g_x[c], 2e-6 * size[c]);
  }
}

TEST(Mapped, KernelsReadThroughAMap) {
  const Shape weights = {10, 7, 3, 3};
  Tensor weight = Tensor::empty(weights);
  Rng rng(5, "mapped weight");
  for (int64_t i = 0; i < weight.numel(); ++i) {
    weight.data<float>()[i] = static_cast<float>(rng.uniform64() - 0.5);
  }
  for (const Geometry& g : kGeometries) {
    const Shape in = {g.n, weights[1], g.plane, g.plane};
    const Conv2dShape shape = conv2d_shape(in, weights, g.options, "test");
    const Shape out = {shape.n, shape.k, shape.p, shape.q};
    const Tensor x = random_lanes(in, 1), dy = random_lanes(out, 2);
    for (const bool relu : {false, true}) {
      const ChannelMap map = map_of(weights[1], relu);
      const Tensor y = through(map, x);
      for (const detail::KernelForm* form : detail::kernel_forms()) {
        SCOPED_TRACE(cat(form->name, ", n ", g.n, ", plane ", g.plane, relu ? ", relu" : ""));
        const Support support(form->sample(weights, 0.4, 3));
        if (form->has(Pass::Forward)) {
          Tensor a = Tensor::empty(out, DType::F32, Layout::Nchw16n);
          Tensor b = Tensor::empty(out, DType::F32, Layout::Nchw16n);
          detail::forward_by(*form, shape, y, weight, support, {}, a);
          detail::forward_by(*form, shape, {x, &map}, weight, support, {}, b);
          EXPECT_EQ(memory(a), memory(b));
        }
        if (!form->has(Pass::Backward)) continue;
        Tensor dx_a = Tensor::empty_like(x), dx_b = Tensor::empty_like(x);
        Tensor dw_a = Tensor::empty({support.nnz()}), dw_b = Tensor::empty({support.nnz()});
        form->backward(
            shape, support, {.x = &y, .dy = dy, .weight = &weight, .dx = &dx_a, .dweight = &dw_a});
        form->backward(
            shape,
            support,
            {.x = &x, .x_map = &map, .dy = dy, .weight = &weight, .dx = &dx_b, .dweight = &dw_b});
        EXPECT_EQ(memory(dx_a), memory(dx_b));
        EXPECT_EQ(memory(dw_a), memory(dw_b));
        form->backward(shape, support, {.x = &x, .x_map = &map, .dy = dy, .dweight = &dw_b});
        EXPECT_EQ(memory(dw_a), memory(dw_b));
        if (!relu) continue;
        std::vector<double> center;
        for (int64_t c = 0; c < weights[1]; ++c) center.push_back(0.05 * static_cast<double>(c));
        GatedResult gate{center};
        form->backward(shape,
                       support,
                       {.x = &x,
                        .x_map = &map,
                        .dy = dy,
                        .weight = &weight,
                        .dx = &dx_b,
                        .dweight = &dw_b,
                        .gate = &gate});
        EXPECT_EQ(memory(dw_a), memory(dw_b));
        expect_gated(gate, x, y, dx_a, dx_b);
      }
    }
  }
}

}  // namespace
}  // namespace espalier::sparse
