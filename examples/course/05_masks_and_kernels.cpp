// SPDX-License-Identifier: Apache-2.0
// Chapter 5 of the course (docs/05_masks_and_kernels.md): masks, a sparse convolution in twenty
// lines, what the library's own does, and which gradient is asked for.
#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/random.h>
#include <espalier/nn/layers.h>
#include <espalier/sparse/choice/chooser.h>
#include "facts.h"

using namespace espalier;

namespace {

void a_mask(course::Facts& facts) {
  std::puts("The mask is a field of the parameter");
  nn::Linear layer({.in = 2, .out = 2, .bias = false});
  layer.weight.value.value().copy_(Tensor::from<float>({2, 2}, {1, 2, 3, 4}));
  layer.weight.set_mask(Tensor::from<uint8_t>({2, 2}, {1, 0, 0, 1}));
  facts.check(layer.weight.value.value().to_vector<float>() == std::vector<float>{1, 0, 0, 4},
              "removed weights are zero");
  facts.check(layer.weight.nnz() == 2 && layer.weight.numel() == 4, "2 of 4 are left");
  facts.check(layer.state_dict().contains("weight") && layer.state_dict().contains("weight.mask"),
              "the weight keeps its name, and the mask is saved beside it");
}

/// A mask of `kept` ones at random places.
Tensor random_mask(const Shape& shape, int64_t kept) {
  Tensor mask = Tensor::zeros(shape, DType::U8);
  Rng rng(1, "mask");
  const std::vector<int64_t> order = rng.permutation(shape.numel());
  for (int64_t i = 0; i < kept; ++i) mask.data<uint8_t>()[order[static_cast<size_t>(i)]] = 1;
  return mask;
}

Tensor random_tensor(const Shape& shape, std::string_view purpose) {
  Tensor out = Tensor::empty(shape);
  Rng rng(1, purpose);
  fill_normal_(out, rng);
  return out;
}

/// A 3x3 convolution with padding 1 of x (N,C,H,W) in `Nchw16n` that touches kept weights only.
Tensor sparse_convolution(const Tensor& x, const Tensor& weight, const sparse::Support& support) {
  const int64_t channels = x.size(1), height = x.size(2), width = x.size(3);
  const int64_t outputs = weight.size(0);
  Tensor y = Tensor::zeros({x.size(0), outputs, height, width}, DType::F32, Layout::Nchw16n);
  for (int64_t block = 0; block < lane_blocks(x.size(0)); ++block) {
    for (const int32_t at : support.kept()) {
      const float w = weight.data<float>()[at];
      const int64_t o = at / (channels * 9), i = at / 9 % channels;
      const int64_t r = at / 3 % 3 - 1, s = at % 3 - 1;
      const float* from = x.data<float>() + (block * channels + i) * height * width * kLanes;
      float* to = y.data<float>() + (block * outputs + o) * height * width * kLanes;
      for (int64_t row = std::max<int64_t>(0, -r); row < std::min(height, height - r); ++row) {
        for (int64_t col = std::max<int64_t>(0, -s); col < std::min(width, width - s); ++col) {
          const float* in = from + ((row + r) * width + col + s) * kLanes;
          float* out = to + (row * width + col) * kLanes;
          for (int64_t lane = 0; lane < kLanes; ++lane) out[lane] += w * in[lane];
        }
      }
    }
  }
  return y;
}

void a_kernel(course::Facts& facts) {
  std::puts("A sparse kernel");
  constexpr int64_t kBatch = 32, kKept = 230;
  const Tensor x = random_tensor({kBatch, 16, 8, 8}, "x").to(Layout::Nchw16n);
  const auto support = std::make_shared<sparse::Support>(random_mask({16, 16, 3, 3}, kKept));
  const Tensor weight = sparse::masked(random_tensor({16, 16, 3, 3}, "weight"), *support);

  // Zeros multiplied like the rest.
  const Conv2dOptions options{.padding = 1};
  const MacCounter of_dense;
  const Tensor full = conv2d(Variable(x), Variable(weight), {}, options).value();
  const int64_t dense_macs = of_dense.macs();

  // Told which weights exist.
  const MacCounter of_sparse;
  const Tensor skipping = conv2d(Variable(x), Variable(weight), {}, options, {support}).value();
  const int64_t sparse_macs = of_sparse.macs();

  facts.check(course::largest_difference(skipping, full) < 1e-4, "skipping zeros changes nothing");
  facts.check(course::largest_difference(sparse_convolution(x, weight, *support), full) < 1e-4,
              "our twenty lines agree");
  facts.check(dense_macs == kBatch * 8 * 8 * 16 * 16 * 9, "dense: 4,718,592 MACs");
  facts.check(sparse_macs == kBatch * 8 * 8 * kKept, "sparse, 230 of 2304 weights: 471,040 MACs");

  const Conv2dShape shape = conv2d_shape(x.shape(), weight.shape(), options, "chapter 5");
  const auto choice = [&](const sparse::Support& one) {
    return sparse::choose_conv2d(shape, DType::F32, Layout::Nchw16n, one, sparse::Pass::Forward);
  };
  const sparse::KernelChoice tenth = choice(*support);
  const sparse::KernelChoice most = choice(sparse::Support(random_mask({16, 16, 3, 3}, 2074)));
  std::printf("  10 %% kept: %s\n  90 %% kept: %s\n", tenth.reason.c_str(), most.reason.c_str());
  facts.check(tenth.sparse, "with a tenth of the weights the sparse kernel runs");
  facts.check(!most.sparse, "with nine tenths the dense one does, and says why");

  const sparse::KernelTimes ms =
      sparse::measure_conv2d(shape, support.get(), sparse::Pass::Forward);
  std::printf("  here and now: dense %.3f ms, sparse %.3f ms\n", ms.dense, ms.sparse);
}

void two_gradients(course::Facts& facts) {
  std::puts("A gradient is asked for");
  const Variable x(random_tensor({16, 4, 6, 6}, "x").to(Layout::Nchw16n));
  const auto support = std::make_shared<sparse::Support>(random_mask({4, 4, 3, 3}, 14));
  const Tensor value = sparse::masked(random_tensor({4, 4, 3, 3}, "weight"), *support);
  const auto gradient = [&](sparse::GradRequest request) {
    const Variable weight(value, /*requires_grad=*/true);
    const Variable y = conv2d(x, weight, {}, {.padding = 1}, {support, request});
    sum(y * y).backward();
    return weight.grad().value();
  };
  const Tensor masked = gradient(sparse::GradRequest::Masked);
  const Tensor everywhere = gradient(sparse::GradRequest::Dense);
  const auto nonzeros = [](const Tensor& t) {
    const std::vector<float> v = t.to_vector<float>();
    return std::ssize(v) - std::count(v.begin(), v.end(), 0.0f);
  };
  facts.check(nonzeros(masked) == 14, "Masked: a gradient for the 14 weights that exist");
  facts.check(nonzeros(everywhere) == 144, "Dense: for all 144, also where nothing is (yet)");
  const double size = norm(Variable(everywhere)).item();
  facts.check(
      course::largest_difference(masked, sparse::masked(everywhere, *support)) < 1e-5 * size,
      "where both exist they are the same");
}

}  // namespace

int main() {
  course::Facts facts;
  a_mask(facts);
  a_kernel(facts);
  two_gradients(facts);
  return facts.exit_code();
}
