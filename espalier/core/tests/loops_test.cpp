// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/loops.h>

#include <gtest/gtest.h>

namespace espalier {
namespace {

Tensor numbers(const Shape& shape, double start = 1.0) {
  Tensor out = Tensor::arange(shape.numel(), DType::F32).reshape(shape);
  float* p = out.data<float>();
  for (int64_t i = 0; i < out.numel(); ++i) p[i] += static_cast<float>(start);
  return out;
}

// f over the logical index space, one `at` at a time.
template <class F>
std::vector<float> by_index(const Shape& shape, const std::vector<Tensor>& inputs, F f) {
  std::vector<Tensor> plain;
  for (const Tensor& input : inputs) {
    plain.push_back(input.to(Layout::Nchw).expand(shape).contiguous());
  }
  std::vector<float> out;
  for (int64_t i = 0; i < shape.numel(); ++i) {
    std::vector<float> values;
    for (const Tensor& input : plain) values.push_back(input.data<float>()[i]);
    out.push_back(f(values));
  }
  return out;
}

void expect_zero_padding(const Tensor& tensor) {
  if (tensor.layout() != Layout::Nchw16n || tensor.numel() == 0) return;
  const Tensor physical = tensor.physical();
  const int64_t rows = physical.numel() / kLanes / physical.size(0);
  const float* p = physical.data<float>();
  for (int64_t i = 0; i < physical.numel(); ++i) {
    if (i / kLanes / rows * kLanes + i % kLanes >= tensor.size(0)) {
      ASSERT_EQ(p[i], 0.0f);
    }
  }
}

struct Case {
  Shape out;
  Shape a;
  Shape b;
};
const Case kCases[] = {
    {{1}, {1}, {1}},
    {{}, {}, {}},
    {{17, 3, 2, 2}, {17, 3, 2, 2}, {17, 3, 2, 2}},
    {{17, 3, 2, 2}, {17, 3, 2, 2}, {1, 3, 1, 1}},
    {{17, 3, 2, 2}, {17, 3, 2, 2}, {3, 1, 1}},
    {{17, 3, 2, 2}, {17, 1, 1, 1}, {1, 3, 2, 2}},
    {{16, 3, 2}, {16, 3, 2}, {2}},
    {{33, 5}, {33, 5}, {}},
    {{33, 5}, {33, 1}, {1, 5}},
    {{15, 2}, {1, 2}, {15, 1}},
    {{5, 3, 7, 16}, {5, 3, 7, 16}, {16}},
    {{5, 3, 7, 16}, {5, 1, 7, 1}, {1, 3, 1, 16}},
    {{400, 9, 5, 3}, {400, 1, 1, 1}, {1, 9, 5, 3}},
    {{40, 9, 50}, {40, 9, 50}, {1, 9, 50}},
    {{1, 4}, {1, 4}, {1, 4}},
    {{0, 4}, {0, 4}, {1, 4}},
};

TEST(MapInto, EqualsTheLoopByIndexForEveryBroadcastAndLayout) {
  for (const Case& c : kCases) {
    for (const Layout out_layout : {Layout::Nchw, Layout::Nchw16n}) {
      for (const Layout a_layout : {Layout::Nchw, Layout::Nchw16n}) {
        if (c.out.rank() == 0 && (out_layout != Layout::Nchw || a_layout != Layout::Nchw)) continue;
        SCOPED_TRACE(cat(c.out, " ", c.a, " ", c.b, " ", name(out_layout), " ", name(a_layout)));
        const Tensor a = numbers(c.a).to(a_layout);
        const Tensor b = numbers(c.b, 100);
        Tensor out = Tensor::empty(c.out, DType::F32, out_layout);
        map_into<float, float, float>(out, a, b, [](float x, float y) { return x + 2 * y; });
        EXPECT_EQ(out.to_vector<float>(),
                  by_index(c.out, {a, b}, [](const auto& v) { return v[0] + 2 * v[1]; }));
        expect_zero_padding(out);
        map_into<float, float, float>(out, b, a, [](float x, float y) { return x + 2 * y; });
        EXPECT_EQ(out.to_vector<float>(),
                  by_index(c.out, {b, a}, [](const auto& v) { return v[0] + 2 * v[1]; }));
      }
    }
  }
}

TEST(MapInto, ReadsStridedViewsAndWritesIntoThem) {
  const Tensor base = numbers({4, 6});
  const Tensor view = base.transpose(0, 1).slice(0, 0, 6, 2);  // (3, 4)
  Tensor target = Tensor::zeros({4, 3});
  Tensor out = target.transpose(0, 1);
  map_into<float, float>(out, view, [](float x) { return -x; });
  EXPECT_EQ(out.to_vector<float>(), by_index({3, 4}, {view}, [](const auto& v) { return -v[0]; }));
  EXPECT_EQ(target.at({1, 2}), -base.at({1, 4}));
}

TEST(MapInto, TakesThreeOperandsOfDifferentTypes) {
  const Tensor condition = Tensor::from<uint8_t>({3, 1}, {1, 0, 1});
  const Tensor a = numbers({3, 2});
  const Tensor b = Tensor::scalar(-5, DType::F64);
  Tensor out = Tensor::empty({3, 2});
  map_into<float, uint8_t, float, double>(
      out, condition, a, b, [](uint8_t c, float x, double y) { return c ? x : float(y); });
  EXPECT_EQ(out.to_vector<float>(), (std::vector<float>{1, 2, -5, -5, 5, 6}));
}

TEST(MapInto, KeepsPaddingLanesZeroEvenWhenFOfZeroIsNot) {
  Tensor out = Tensor::empty({17, 3}, DType::F32, Layout::Nchw16n);
  map_into<float, float>(out, numbers({17, 3}).to(Layout::Nchw16n), [](float x) { return x + 1; });
  expect_zero_padding(out);
}

TEST(MapInto, HasTheSameBitsOnAnyNumberOfThreads) {
  const int before = num_threads();
  const Tensor a = numbers({100, 1000}, 0.1);
  std::vector<float> first;
  for (const int threads : {1, 2, 7}) {
    set_num_threads(threads);
    Tensor out = Tensor::empty({100, 1000});
    map_into<float, float>(out, a, [](float x) { return x * 0.3f + 1.0f / x; });
    if (first.empty()) first = out.to_vector<float>();
    EXPECT_EQ(out.to_vector<float>(), first);
  }
  set_num_threads(before);
}

TEST(MapInto, RefusesInputsThatDoNotBroadcast) {
  Tensor out = Tensor::empty({2, 3});
  const auto copy = [](float x) { return x; };
  EXPECT_THROW((map_into<float, float>(out, numbers({2, 2}), copy)), ShapeError);
  EXPECT_THROW((map_into<float, float>(out, numbers({4, 2, 3}), copy)), ShapeError);
  EXPECT_THROW((map_into<float, double>(out, numbers({2, 3}), [](double x) { return float(x); })),
               TypeError);
}

TEST(Broadcast, IsInLanesWhenAnOperandSpansTheBatchInLanes) {
  const Tensor batch = numbers({17, 3}).to(Layout::Nchw16n);
  EXPECT_EQ(broadcast(batch, numbers({1, 3}), "op").layout, Layout::Nchw16n);
  EXPECT_EQ(broadcast(numbers({3}), batch, "op").layout, Layout::Nchw16n);
  EXPECT_EQ(broadcast(numbers({17, 3}), numbers({1, 3}), "op").layout, Layout::Nchw);
  const Tensor one = numbers({1, 3}).to(Layout::Nchw16n);
  EXPECT_EQ(broadcast(numbers({17, 3}), one, "op").layout, Layout::Nchw);
}

}  // namespace
}  // namespace espalier
