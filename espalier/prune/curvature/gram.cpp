// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/gram.h>

#include <espalier/core/kernels/gemm.h>

namespace espalier::prune {

Tensor matrix_product(const Tensor& a, const Tensor& b) {
  Tensor out = Tensor::empty({a.size(0), b.size(1)}, DType::F64);
  gemm(a, b, out);
  return out;
}

void Grams::add(int64_t group, const Tensor& x) {
  if (groups() <= group) {
    sums_.push_back(Tensor::zeros({x.size(1), x.size(1)}, DType::F64));
    positions_.push_back(0);
  }
  const Tensor product = matrix_product(x.transpose(0, 1), x);
  double* sum = sums_[static_cast<size_t>(group)].data<double>();
  const double* p = product.data<double>();
  for (int64_t i = 0; i < product.numel(); ++i) sum[i] += p[i];
  positions_[static_cast<size_t>(group)] += x.size(0);
}

Tensor Grams::hessian(int64_t group) const {
  const auto g = static_cast<size_t>(group);
  Tensor hessian = sums_[g].clone();
  double* h = hessian.data<double>();
  for (int64_t i = 0; i < hessian.numel(); ++i) h[i] *= 2.0 / static_cast<double>(positions_[g]);
  return hessian;
}

Tensor contribution_gram(const Tensor& inputs,
                         const Tensor& weight,
                         std::span<const int64_t> channel,
                         int64_t channels) {
  const auto columns = static_cast<int64_t>(channel.size());
  const Tensor products = matrix_product(weight.transpose(0, 1), weight);
  const double* x = inputs.data<double>();
  const double* w = products.data<double>();
  Tensor gram = Tensor::zeros({channels, channels + 1}, DType::F64);
  double* g = gram.data<double>();
  for (int64_t a = 0; a < columns; ++a) {
    const int64_t c = channel[static_cast<size_t>(a)];
    if (c < 0) continue;
    for (int64_t b = 0; b < columns; ++b) {
      const int64_t d = channel[static_cast<size_t>(b)];
      g[c * (channels + 1) + (d < 0 ? channels : d)] += x[a * columns + b] * w[a * columns + b];
    }
  }
  return gram;
}

}  // namespace espalier::prune
