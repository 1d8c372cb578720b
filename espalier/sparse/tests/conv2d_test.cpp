// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/core/simd.h>
#include <espalier/core/tests/conv2d_checks.h>
#include <espalier/sparse/forms/conv2d.h>
#include <espalier/sparse/forms/form.h>
#include <espalier/sparse/kept_values.h>
#include <espalier/sparse/kernels/block_backward_plan.h>

namespace espalier::sparse {
namespace {

using testing::expect_close;
using testing::expect_zero_padding;
using testing::magnitude;
using testing::random_tensor;
using Case = testing::ConvCase;
using Results = testing::ConvResults;

const std::vector<Case>& cases() {
  static const std::vector<Case> list = {
      {"16 channels, 12x12", {16, 16, 12, 12}, {16, 16, 3, 3}, {.padding = 1}},
      {"first layer, odd batch", {17, 3, 9, 10}, {16, 3, 3, 3}, {.padding = 1}},
      {"one channel, batch 1", {1, 1, 8, 8}, {1, 1, 3, 3}, {.padding = 1}},
      {"odd channels, odd plane", {15, 5, 7, 5}, {17, 5, 3, 3}, {.padding = 1}},
      {"many channels, 8x8", {17, 40, 8, 8}, {19, 40, 3, 3}, {.padding = 1}},
      {"blocks of input channels", {17, 130, 6, 5}, {9, 130, 3, 3}, {.padding = 1}},
      {"plane 4x4", {33, 16, 4, 4}, {18, 16, 3, 3}, {.padding = 1}},
      {"plane 4x4, 4x3 kernel", {65, 5, 4, 4}, {6, 5, 4, 3}, {.padding = {2, 1}}},
      {"plane 4x3, uneven padding", {33, 5, 4, 3}, {6, 5, 3, 3}, {.padding = {1, 0}}},
      {"plane 2x2, eight blocks", {128, 5, 2, 2}, {7, 5, 3, 3}, {.padding = 1}},
      {"plane 2x1, six blocks", {90, 4, 2, 1}, {6, 4, 3, 3}, {.padding = 1}},
      {"to 2x2 by stride 2", {81, 4, 4, 4}, {6, 4, 3, 3}, {.stride = 2, .padding = 1}},
      {"plane 2x2, five blocks", {70, 17, 2, 2}, {16, 17, 3, 3}, {.padding = 1}},
      {"batch 130", {130, 6, 6, 5}, {7, 6, 3, 3}, {.padding = 1}},
      {"plane 1x1", {17, 16, 1, 1}, {5, 16, 3, 3}, {.padding = 1}},
      {"plane 3x3", {40, 6, 3, 3}, {6, 6, 3, 3}, {.padding = 1}},
      {"stride 2", {16, 16, 8, 8}, {17, 16, 3, 3}, {.stride = 2, .padding = 1}},
      {"stride 2, odd plane", {3, 5, 7, 5}, {6, 5, 3, 3}, {.stride = 2, .padding = 1}},
      {"1x1", {17, 16, 7, 5}, {5, 16, 1, 1}, {}},
      {"1x1, stride 2", {17, 5, 8, 7}, {16, 5, 1, 1}, {.stride = 2}},
      {"5x5, no padding", {16, 3, 8, 8}, {6, 3, 5, 5}, {}},
      {"linear layer, ten blocks", {150, 40, 1, 1}, {30, 40, 1, 1}, {}},
      {"dilation", {17, 3, 8, 8}, {4, 3, 3, 3}, {.padding = 2, .dilation = 2}},
      {"more padding than kernel", {5, 3, 4, 4}, {3, 3, 2, 2}, {.padding = 3}},
  };
  return list;
}

/// `density` of the weights, pseudo-random; density 0 is none and -1 exactly one. The first output
/// channel is always empty when there are others, and of more than two the last is full unless the
/// density is 0.
Tensor random_mask(const Shape& shape, double density) {
  Tensor mask = Tensor::zeros(shape, DType::U8);
  if (density < 0.0) {
    mask.data<uint8_t>()[mask.numel() / 2] = 1;
    return mask;
  }
  const auto chance = random_tensor(shape, 9).to_vector<double>();
  const int64_t begin = shape[0] > 1 ? shape.numel() / shape[0] : 0;
  for (int64_t i = begin; i < shape.numel(); ++i) {
    mask.data<uint8_t>()[i] = (chance[static_cast<size_t>(i)] + 1.0) / 2.0 < density;
  }
  if (shape[0] > 2 && density > 0.0) mask.slice(0, shape[0] - 1, shape[0]).fill_(1.0);
  return mask;
}

/// Blocks of four output channels, of which `fill` of the weights are there; the last channels of a
/// layer whose channels four does not divide make a smaller block.
Tensor block_mask(const Shape& shape, double density, double fill) {
  Tensor mask = Tensor::zeros(shape, DType::U8);
  const auto chance = random_tensor(shape, 9).to_vector<double>();
  const auto present = random_tensor(shape, 10).to_vector<double>();
  const int64_t filter = shape.numel() / shape[0];
  for (int64_t i = 0; i < shape.numel(); ++i) {
    const int64_t block = i / filter / 4 * 4 * filter + i % filter;
    mask.data<uint8_t>()[i] = (chance[static_cast<size_t>(block)] + 1.0) / 2.0 < density &&
                              (present[static_cast<size_t>(i)] + 1.0) / 2.0 < fill;
  }
  return mask;
}

Tensor times(const Tensor& weight, const Tensor& mask) {
  Tensor out = weight.to(DType::F64).clone();
  for (int64_t i = 0; i < out.numel(); ++i) out.data<double>()[i] *= mask.data<uint8_t>()[i];
  return out;
}

Tensor plus(const Tensor& a, const Tensor& b) {
  Tensor out = a.to(DType::F64).clone();
  const auto added = b.to_vector<double>();
  for (int64_t i = 0; i < out.numel(); ++i) out.data<double>()[i] += added[static_cast<size_t>(i)];
  return out;
}

struct Problem {
  Conv2dShape shape;
  Tensor x, weight, bias, dy, mask;
  Support support;

  Problem(const Case& c, const Tensor& chosen)
      : shape(conv2d_shape(c.x, c.weight, c.options, "test")),
        x(random_tensor(c.x, 1)),
        weight(random_tensor(c.weight, 2)),
        bias(random_tensor({c.weight[0]}, 3)),
        dy(random_tensor({shape.n, shape.k, shape.p, shape.q}, 4)),
        mask(chosen),
        support(mask) {}

  // Removed weights are not zero here: kernels must not read them.
  Results run() const {
    const Tensor x_lanes = x.to(Layout::Nchw16n);
    const Tensor dy_lanes = dy.to(Layout::Nchw16n);
    Results r{Tensor::empty_like(dy_lanes), Tensor::empty_like(x_lanes), {}};
    Tensor dw = not_numbers();
    sparse::conv2d_forward(shape, x_lanes, weight, support, bias, r.y);
    sparse::conv2d_backward_data(shape, dy_lanes, weight, support, r.dx);
    sparse::conv2d_backward_weight(shape, x_lanes, dy_lanes, support, dw);
    r.dw = dense_from_kept(dw, support);
    return r;
  }

  // Both gradients in one pass.
  Results run_fused() const {
    Results r{{}, Tensor::empty(x.shape(), DType::F32, Layout::Nchw16n), {}};
    Tensor dw = not_numbers();
    sparse::conv2d_backward(shape,
                            x.to(Layout::Nchw16n),
                            dy.to(Layout::Nchw16n),
                            kept_values(weight, support),
                            support,
                            r.dx,
                            dw);
    r.dw = dense_from_kept(dw, support);
    return r;
  }

  Tensor not_numbers() const { return Tensor::full({support.nnz()}, std::nan("")); }

  Results exact(bool of_magnitudes) const {
    const auto part = [&](const Tensor& a) { return of_magnitudes ? magnitude(a) : a; };
    Results r =
        testing::run_reference(shape, part(x), part(times(weight, mask)), part(bias), part(dy));
    r.dw = times(r.dw, mask);
    return r;
  }
};

using detail::KernelForm;

// All that a form has kernels for, each way to run it, whether it would be chosen or not.
void expect_exact(const KernelForm& form,
                  const Problem& p,
                  const Results& exact,
                  const Results& terms,
                  const std::string& told) {
  const std::string what = cat(form.name, ", ", told);
  const Tensor x = p.x.to(Layout::Nchw16n);
  const Tensor dy = p.dy.to(Layout::Nchw16n);
  if (form.has(Pass::Forward)) {
    Tensor y = Tensor::empty_like(dy);
    detail::forward_by(form, p.shape, x, p.weight, p.support, p.bias, y);
    expect_close(y, exact.y, terms.y, what + ", forward");
    expect_zero_padding(y, what);
  }
  if (!form.has(Pass::Backward)) return;
  const Tensor kept = kept_values(p.weight, p.support);
  Tensor dx = Tensor::empty_like(x);
  Tensor dw = p.not_numbers();
  const auto expect_dx = [&](const std::string& way) {
    expect_close(dx, exact.dx, terms.dx, what + way);
    expect_zero_padding(dx, what + way);
  };
  const auto expect_dw = [&](const std::string& way) {
    expect_close(dense_from_kept(dw, p.support), exact.dw, terms.dw, what + way);
  };
  form.backward(
      p.shape, p.support, {.x = &x, .dy = dy, .weight = &kept, .dx = &dx, .dweight = &dw});
  expect_dx(", both gradients: data");
  expect_dw(", both gradients: weight");
  dx = Tensor::empty_like(x);
  form.backward(p.shape, p.support, {.dy = dy, .weight = &p.weight, .dx = &dx});
  expect_dx(", data");
  dw = p.not_numbers();
  form.backward(p.shape, p.support, {.x = &x, .dy = dy, .dweight = &dw});
  expect_dw(", weight");
  dx = x.clone();
  form.backward(p.shape,
                p.support,
                {.x = &x,
                 .dy = dy,
                 .weight = &p.weight,
                 .dx = &dx,
                 .dx_result = sparse::Result::Adds,
                 .dweight = &dw});
  expect_close(dx, plus(exact.dx, p.x), plus(terms.dx, magnitude(p.x)), what + ", added to dx");
  expect_zero_padding(dx, what + ", added to dx");
}

// Every form of the list.
void expect_exact(const Problem& p,
                  const Results& exact,
                  const Results& terms,
                  const std::string& what) {
  for (const KernelForm* form : detail::kernel_forms()) expect_exact(*form, p, exact, terms, what);
}

// What is chosen.
void expect_exact_choice(const Problem& p,
                         const Results& exact,
                         const Results& terms,
                         const std::string& what) {
  const Results got = p.run();
  expect_close(got.y, exact.y, terms.y, what + ", forward");
  expect_close(got.dx, exact.dx, terms.dx, what + ", backward data");
  expect_close(got.dw, exact.dw, terms.dw, what + ", backward weight");
  const Results fused = p.run_fused();
  expect_close(fused.dx, exact.dx, terms.dx, what + ", fused backward, data");
  expect_close(fused.dw, exact.dw, terms.dw, what + ", fused backward, weight");
}

class SparseConv2d : public ::testing::Test {
 protected:
  void TearDown() override {
    set_simd_target("");
    set_num_threads(0);
  }
};

TEST_F(SparseConv2d, EveryFormAgreesWithTheMaskedReferenceOnEveryTargetAndDensity) {
  for (const Case& c : cases()) {
    for (const double density : {0.0, -1.0, 0.1, 0.5, 1.0}) {
      const Problem p(c, random_mask(c.weight, density));
      const Results exact = p.exact(false);
      const Results terms = p.exact(true);
      expect_exact_choice(p, exact, terms, cat(c.name, ", density ", density));
      for (const std::string& target : simd_targets()) {
        set_simd_target(target);
        expect_exact(p, exact, terms, cat(c.name, ", density ", density, ", ", target));
      }
      set_simd_target("");
    }
  }
}

TEST_F(SparseConv2d, EveryFormRunsItsOwnSupportsOnEveryTargetAndDensity) {
  for (const Case& c : cases()) {
    for (const KernelForm* form : detail::kernel_forms()) {
      for (const double density : {0.0, 0.1, 0.5, 1.0}) {
        const Problem p(c, form->sample(c.weight, density, 3));
        const Results exact = p.exact(false);
        const Results terms = p.exact(true);
        for (const std::string& target : simd_targets()) {
          set_simd_target(target);
          expect_exact(*form, p, exact, terms, cat(c.name, ", own ", density, ", ", target));
        }
      }
    }
  }
}

TEST_F(SparseConv2d, PartlyFilledBlocksAgreeWithTheMaskedReference) {
  for (const Case& c : cases()) {
    const Problem p(c, block_mask(c.weight, 0.3, 0.85));
    const Results exact = p.exact(false);
    const Results terms = p.exact(true);
    expect_exact_choice(p, exact, terms, cat(c.name, ", fill 0.85"));
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      expect_exact(p, exact, terms, cat(c.name, ", fill 0.85, ", target));
    }
    set_simd_target("");
  }
}

TEST_F(SparseConv2d, StripsOfRowsAddToTheirCommonRowsOfDx) {
  // So many samples and channels that the planes of a task are cut into strips.
  const std::vector<Case> large = {
      {"stride 1", {130, 40, 18, 17}, {9, 40, 3, 3}, {.padding = 1}},
      {"stride 2", {130, 40, 19, 18}, {9, 40, 3, 3}, {.stride = 2, .padding = 1}},
      {"1x1, stride 2", {130, 60, 21, 18}, {5, 60, 1, 1}, {.stride = 2}},
  };
  for (const Case& c : large) {
    const Problem p(c, block_mask(c.weight, 0.1, 1.0));
    const detail::BlockBackwardPlan plan(
        espalier::detail::forward_taps(p.shape), lane_blocks(p.shape.n), p.support);
    EXPECT_GT(plan.strips, 1) << c.name;
    const Results exact = p.exact(false);
    const Results terms = p.exact(true);
    const Results fused = p.run_fused();
    expect_close(fused.dx, exact.dx, terms.dx, c.name + std::string(", data"));
    expect_close(fused.dw, exact.dw, terms.dw, c.name + std::string(", weight"));
  }
}

TEST_F(SparseConv2d, LargeOutputsThatPassTheCachesByHaveTheBitsOfSmallOnes) {
  // 64 samples x 64 channels x 32x32 are 16 MB, in forward as y, in backward as dx.
  const Case up{"4 to 64 channels", {64, 4, 32, 32}, {64, 4, 3, 3}, {.padding = 1}};
  const Case down{"64 to 4 channels", {64, 64, 32, 32}, {4, 64, 3, 3}, {.padding = 1}};
  const auto quarter = [](const Problem& whole, const Case& c, int64_t first) {
    Problem part({c.name, Shape{16, c.x[1], 32, 32}, c.weight, c.options}, whole.mask);
    part.x = whole.x.slice(0, first, first + 16).contiguous();
    part.dy = whole.dy.slice(0, first, first + 16).contiguous();
    return part;
  };
  for (const double fill : {1.0, 0.4}) {
    const Problem forward(up, block_mask(up.weight, 0.4, fill));
    const Problem backward(down, block_mask(down.weight, 0.4, fill));
    const Tensor y = forward.run().y.to(Layout::Nchw);
    const Tensor dx = backward.run_fused().dx.to(Layout::Nchw);
    for (int64_t first = 0; first < 64; first += 16) {
      EXPECT_EQ(quarter(forward, up, first).run().y.to(Layout::Nchw).to_vector<float>(),
                y.slice(0, first, first + 16).to_vector<float>());
      EXPECT_EQ(quarter(backward, down, first).run_fused().dx.to(Layout::Nchw).to_vector<float>(),
                dx.slice(0, first, first + 16).to_vector<float>());
    }
  }
}

TEST_F(SparseConv2d, BitsDontDependOnTheThreadCount) {
  for (const Case& c : cases()) {
    // One channel at a time, two, and blocks of four.
    for (const Tensor& mask :
         {random_mask(c.weight, 0.2), random_mask(c.weight, 0.5), block_mask(c.weight, 0.2, 1.0)}) {
      const Problem p(c, mask);
      set_num_threads(1);
      const Results one = p.run();
      const Results one_fused = p.run_fused();
      for (const int threads : {2, 7}) {
        set_num_threads(threads);
        const Results many = p.run();
        const Results many_fused = p.run_fused();
        EXPECT_EQ(one.y.to_vector<float>(), many.y.to_vector<float>()) << c.name;
        EXPECT_EQ(one.dx.to_vector<float>(), many.dx.to_vector<float>()) << c.name;
        EXPECT_EQ(one.dw.to_vector<float>(), many.dw.to_vector<float>()) << c.name;
        EXPECT_EQ(one_fused.dx.to_vector<float>(), many_fused.dx.to_vector<float>()) << c.name;
        EXPECT_EQ(one_fused.dw.to_vector<float>(), many_fused.dw.to_vector<float>()) << c.name;
      }
    }
  }
}

TEST_F(SparseConv2d, ReportsTheMacsOfKeptWeights) {
  const Problem p(cases()[0], random_mask(cases()[0].weight, 0.1));
  MacCounter counter;
  Tensor y = Tensor::empty(p.dy.shape(), DType::F32, Layout::Nchw16n);
  sparse::conv2d_forward(p.shape, p.x.to(Layout::Nchw16n), p.weight, p.support, {}, y);
  EXPECT_EQ(counter.macs(), 16 * 12 * 12 * p.support.nnz());
}

TEST_F(SparseConv2d, RefusesWhatItHasNoKernelFor) {
  const Problem p(cases()[0], random_mask(cases()[0].weight, 0.1));
  Tensor y = Tensor::empty(p.dy.shape());
  EXPECT_THROW(sparse::conv2d_forward(p.shape, p.x, p.weight, p.support, {}, y), ValueError);
  Tensor lanes = p.dy.to(Layout::Nchw16n);
  EXPECT_THROW(sparse::conv2d_backward_weight(p.shape, lanes, lanes, p.support, y), ShapeError);
}

}  // namespace
}  // namespace espalier::sparse
