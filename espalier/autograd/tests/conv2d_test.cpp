// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>

namespace espalier {
namespace {

const Conv2dOptions kSame{.padding = 1};

// Sums of at most 360 products of numbers in [-1,1], in float32.
constexpr double kFloatTol = 2e-5;

struct Problem {
  Tensor mask = Tensor::zeros({4, 3, 3, 3}, DType::U8);
  Variable x, weight, upstream;

  // `blocks`: what is kept is the same for the four output channels.
  explicit Problem(DType dtype, Layout layout, bool blocks = false) {
    for (int64_t i = 0; i < mask.numel(); ++i) {
      mask.data<uint8_t>()[i] = (blocks ? i % 27 : i) % 5 == 0;
    }
    x = Variable(sample_tensor({5, 3, 9, 8}, 1).to(dtype).to(layout), true);
    Tensor w = sample_tensor({4, 3, 3, 3}, 2);
    for (int64_t i = 0; i < w.numel(); ++i) w.data<double>()[i] *= mask.data<uint8_t>()[i];
    weight = Variable(w.to(dtype), true);
    upstream = Variable(sample_tensor({5, 4, 9, 8}, 3).to(dtype).to(layout));
  }
  int64_t kept() const { return sparse::Support(mask).nnz(); }
  std::vector<Variable> gradients(sparse::GradRequest request, bool with_support = true) const {
    sparse::WeightSparsity sparsity;
    if (with_support) sparsity = {std::make_shared<const sparse::Support>(mask), request};
    const Variable y = conv2d(x, weight, {}, kSame, sparsity);
    return grad({sum(mul(y, upstream), {}, false)}, {x, weight});
  }
};

TEST(Conv2dSparsity, MaskedRequestGivesTheDenseGradientTimesTheMask) {
  const Problem p(DType::F64, Layout::Nchw);
  const auto dense = p.gradients({}, false);
  const auto masked = p.gradients(sparse::GradRequest::Masked);
  EXPECT_EQ(masked[0].value().to_vector<double>(), dense[0].value().to_vector<double>());
  const auto all = dense[1].value().to_vector<double>();
  const auto kept = masked[1].value().to_vector<double>();
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_NE(all[i], 0.0);
    EXPECT_EQ(kept[i], i % 5 == 0 ? all[i] : 0.0);
  }
}

TEST(Conv2dSparsity, DenseRequestGivesTheGradientOfRemovedWeightsToo) {
  const Problem p(DType::F64, Layout::Nchw);
  EXPECT_EQ(p.gradients(sparse::GradRequest::Dense)[1].value().to_vector<double>(),
            p.gradients({}, false)[1].value().to_vector<double>());
}

TEST(Conv2dSparsity, Float32InLanesTakesTheSparseKernelsAndGivesTheSameGradients) {
  for (const bool blocks : {false, true}) {
    Problem exact(DType::F64, Layout::Nchw, blocks);
    Problem lanes(DType::F32, Layout::Nchw16n, blocks);
    for (const auto request : {sparse::GradRequest::Masked, sparse::GradRequest::Dense}) {
      const auto want = exact.gradients(request);
      MacCounter counter;
      const auto got = lanes.gradients(request);
      EXPECT_EQ(counter.macs(), 5 * 9 * 8 * lanes.kept());
      for (size_t i = 0; i < 2; ++i) {
        const auto a = got[i].value().to_vector<double>();
        const auto b = want[i].value().to_vector<double>();
        for (size_t j = 0; j < a.size(); ++j) EXPECT_NEAR(a[j], b[j], kFloatTol);
      }
    }
  }
}

TEST(Conv2dSparsity, AGradientThatCameBeforeIsAddedTo) {
  // As beside a residual connection: h has a gradient of the newer product already.
  const auto gradients = [](const Problem& p, bool with_support) {
    const Variable h = mul(p.x, p.x);
    sparse::WeightSparsity sparsity;
    if (with_support) sparsity.support = std::make_shared<const sparse::Support>(p.mask);
    const Variable y = conv2d(h, p.weight, {}, kSame, sparsity);
    const Variable beside = mul(h, p.x);
    return grad({sum(mul(y, p.upstream), {}, false), sum(beside, {}, false)}, {p.x, p.weight});
  };
  for (const bool blocks : {false, true}) {
    const auto want = gradients(Problem(DType::F64, Layout::Nchw, blocks), false);
    const auto got = gradients(Problem(DType::F32, Layout::Nchw16n, blocks), true);
    const auto a = got[0].value().to_vector<double>();
    const auto b = want[0].value().to_vector<double>();
    for (size_t j = 0; j < a.size(); ++j) EXPECT_NEAR(a[j], b[j], kFloatTol);
  }
}

TEST(Conv2dSparsity, SupportOfAnotherShapeIsRefused) {
  const Variable x(Tensor::ones({1, 3, 4, 4}));
  const Variable w(Tensor::ones({2, 3, 3, 3}));
  const auto support =
      std::make_shared<const sparse::Support>(Tensor::ones({3, 2, 3, 3}, DType::U8));
  EXPECT_THROW(conv2d(x, w, {}, kSame, {support}), ShapeError);
}

TEST(Conv2dOp, MixedTypesAreRefused) {
  EXPECT_THROW(conv2d(Variable(Tensor::ones({1, 1, 3, 3})),
                      Variable(Tensor::ones({1, 1, 3, 3}, DType::F64))),
               TypeError);
}

}  // namespace
}  // namespace espalier
