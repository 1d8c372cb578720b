// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/core/parallel.h>
#include <espalier/core/simd.h>
#include <espalier/core/tests/planes_checks.h>
#include <espalier/sparse/forms/form.h>

namespace espalier::sparse {
namespace {

using detail::Coding;
using detail::KernelForm;
using detail::SparsePlanes;
using testing::Guarded;
using testing::planes_cases;
using testing::PlanesProblem;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class SparsePlanesTest : public ::testing::Test {
 protected:
  void TearDown() override {
    set_simd_target("");
    set_num_threads(0);
  }
};

/// Masks by name: the densities of kernels' tests, and rows that are empty or full.
struct Mask {
  std::string name;
  Tensor kept;
};

std::vector<Mask> masks(const KernelForm& form, const Shape& shape) {
  std::vector<Mask> out;
  for (const double density : {0.0, 0.1, 0.5, 1.0}) {
    out.push_back({cat("density ", density), form.sample(shape, density, 7)});
  }
  Tensor one = Tensor::zeros(shape, DType::U8);
  one.data<uint8_t>()[shape.numel() / 2] = 1;
  out.push_back({"one weight", one});
  Tensor rows = form.sample(shape, 0.2, 7);
  const int64_t filter = shape.numel() / shape[0];
  std::fill_n(rows.data<uint8_t>(), filter, uint8_t{0});
  std::fill_n(rows.data<uint8_t>() + (shape[0] - 1) * filter, filter, uint8_t{1});
  out.push_back({"an empty and a full row", rows});
  return out;
}

Tensor run(const PlanesProblem& p, const SparsePlanes& planes, float low, float high) {
  Guarded x(p.x);
  Guarded y(Tensor::full(p.out_shape(), 77.0));
  Tensor scratch = Tensor::full({std::max<int64_t>(1, planes.scratch_size())}, std::nan(""));
  const espalier::detail::PlanesOperands operands{.x = x.data(),
                                                  .weight = nullptr,
                                                  .bias = p.bias.data<float>(),
                                                  .residual = p.residual.data<float>(),
                                                  .y = y.data(),
                                                  .limits = {low, high}};
  parallel_for(planes.fill_tasks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) planes.fill(t, x.data(), scratch.data<float>());
  });
  parallel_for(planes.tasks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) planes.run(t, operands, scratch.data<float>());
  });
  EXPECT_TRUE(x.whole() && y.whole());
  return y.inner(p.out_shape());
}

/// A form's layout with weights as instructions, and without.
std::vector<detail::PlanesLayout> layouts(const KernelForm& form) {
  std::vector<detail::PlanesLayout> out(2, *form.planes);
  out[0].coding = Coding::Always;
  out[1].coding = Coding::Never;
  return out;
}

/// Every form, case, mask and target; `body(problem, planes, what)`.
template <class F>
void for_all(bool every_target, F body) {
  for (const auto& c : planes_cases()) {
    if (c.options.groups != 1) continue;
    for (const KernelForm* form : detail::kernel_forms()) {
      if (form->planes == nullptr) continue;
      for (const Mask& mask : masks(*form, c.weight)) {
        PlanesProblem p(c);
        for (int64_t i = 0; i < p.weight.numel(); ++i) {
          p.weight.data<float>()[i] *= static_cast<float>(mask.kept.data<uint8_t>()[i]);
        }
        const Support support(mask.kept);
        for (const std::string& target : simd_targets()) {
          set_simd_target(every_target ? target : "");
          for (const detail::PlanesLayout& layout : layouts(*form)) {
            body(p,
                 SparsePlanes(p.shape, support, p.weight, layout),
                 cat(c.name,
                     ", ",
                     form->name,
                     ", ",
                     mask.name,
                     ", ",
                     target,
                     ", coding ",
                     static_cast<int>(layout.coding)));
          }
          if (!every_target) break;
        }
      }
    }
  }
}

TEST_F(SparsePlanesTest, EqualTheReferenceOnEveryTarget) {
  for_all(true, [](const PlanesProblem& p, const SparsePlanes& planes, const std::string& what) {
    p.expect(run(p, planes, -kInfinity, kInfinity), -kInfinity, kInfinity, what);
    p.expect(run(p, planes, 0.0f, 0.5f), 0.0f, 0.5f, what + ", limits");
  });
}

TEST_F(SparsePlanesTest, HaveTheSameBitsOnAnyNumberOfThreads) {
  for_all(false, [](const PlanesProblem& p, const SparsePlanes& planes, const std::string& what) {
    set_num_threads(1);
    const std::vector<float> one = run(p, planes, 0.0f, kInfinity).to_vector<float>();
    for (const int threads : {2, 7}) {
      set_num_threads(threads);
      EXPECT_EQ(run(p, planes, 0.0f, kInfinity).to_vector<float>(), one) << what;
    }
  });
}

TEST_F(SparsePlanesTest, RunInTheirOwnForm) {
  for (const KernelForm* form : detail::kernel_forms()) {
    if (form->planes == nullptr) continue;
    const Support own(form->sample({16, 16, 3, 3}, 0.1, 7));
    EXPECT_EQ(&detail::planes_form_for(own), form) << form->name;
  }
}

TEST_F(SparsePlanesTest, AreInstructionsWhereThatPays) {
  const auto is_code = [](const Shape& x, const Shape& weight, double density, Coding coding) {
    const PlanesProblem p({"", x, weight, {}});
    const KernelForm& form = detail::single_form();
    detail::PlanesLayout layout = *form.planes;
    layout.coding = coding;
    const SparsePlanes planes(p.shape, Support(form.sample(weight, density, 7)), p.weight, layout);
    return planes.is_code();
  };
  const Coding pays = detail::single_form().planes->coding;
  for (const std::string& target : simd_targets()) {
    set_simd_target(target);
    const bool can = target == "avx512";
    EXPECT_EQ(is_code({1, 64, 14, 14}, {32, 64, 1, 1}, 0.5, pays), can) << target;
    EXPECT_EQ(is_code({1, 64, 4, 4}, {32, 64, 1, 1}, 0.5, Coding::Always), can) << target;
    EXPECT_FALSE(is_code({1, 64, 14, 14}, {32, 64, 1, 1}, 0.5, Coding::Never)) << target;
    EXPECT_FALSE(is_code({1, 64, 4, 4}, {32, 64, 1, 1}, 0.5, pays)) << "small plane";
    EXPECT_FALSE(is_code({1, 64, 14, 14}, {32, 64, 1, 1}, 0.05, pays)) << "few weights";
  }
}

TEST_F(SparsePlanesTest, HaveNoInstructionsForWhatLiesTooFar) {
  if (!detail::PlanesCode::is_possible()) GTEST_SKIP() << "no AVX-512";
  const auto make = [](int32_t offset) {
    return detail::PlanesCode::make({{.channel = 0, .offset = offset, .value = 1.0f}}, 1, 16);
  };
  EXPECT_NE(make((1 << 29) - 1 - 16), nullptr);
  EXPECT_EQ(make(1 << 29), nullptr);
}

TEST_F(SparsePlanesTest, RefuseGroups) {
  const PlanesProblem p({"", {1, 4, 8, 8}, {4, 2, 3, 3}, {.padding = 1, .groups = 2}});
  const Support all(Tensor::ones(p.weight.shape(), DType::U8));
  const detail::PlanesLayout& layout = *detail::planes_form_for(all).planes;
  EXPECT_THROW(SparsePlanes(p.shape, all, p.weight, layout), ValueError);
}

}  // namespace
}  // namespace espalier::sparse
