// SPDX-License-Identifier: Apache-2.0
/// Kernels of convolutions that keep norms. Every factor P + (1 - P) z with a projection P, of
/// which one tap is P and the next 1 - P, keeps norms on a plane whose edges meet; so do products
/// of such factors along both sides of the kernel, and an orthogonal matrix behind them.
///
/// Source: Xiao, Bahri, Sohl-Dickstein, Schoenholz, Pennington, arXiv:1806.05393, algorithm 1.
#include <espalier/core/kernels/gemm.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn::init {
namespace {

Tensor product(const Tensor& a, const Tensor& b) {
  Tensor out = Tensor::empty({a.size(0), b.size(1)}, DType::F64);
  gemm(a, b, out);
  return out;
}

/// Orthonormal rows or columns, whichever are fewer.
Tensor orthonormal(int64_t rows, int64_t columns, const Rng& rng) {
  Parameter matrix(Tensor::empty({rows, columns}, DType::F64));
  orthogonal(matrix, rng);
  return matrix.value.value();
}

/// Onto a random half of the dimensions, and onto the other half.
std::pair<Tensor, Tensor> projections(int64_t n, const Rng& rng) {
  const Tensor half = orthonormal(n, n / 2, rng);
  Tensor on = product(half, half.transpose(0, 1));
  Tensor off = on.clone();
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double& x = off.data<double>()[i * n + j];
      x = (i == j ? 1.0 : 0.0) - x;
    }
  }
  return {std::move(on), std::move(off)};
}

void add_to(Tensor& sum, const Tensor& term) {
  for (int64_t i = 0; i < sum.numel(); ++i) sum.data<double>()[i] += term.data<double>()[i];
}

/// Square matrices at the places of a kernel.
struct Taps {
  int64_t rows = 1;
  int64_t columns = 1;
  std::vector<Tensor> at;  // rows x columns

  /// One place longer along a side.
  Taps times_factor(bool down, const Rng& rng) const {
    const int64_t n = at[0].size(0);
    const auto [on, off] = projections(n, rng);
    Taps longer{down ? rows + 1 : rows, down ? columns : columns + 1, {}};
    for (int64_t i = 0; i < longer.rows * longer.columns; ++i) {
      longer.at.push_back(Tensor::zeros({n, n}, DType::F64));
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t s = 0; s < columns; ++s) {
        const Tensor& tap = at[static_cast<size_t>(r * columns + s)];
        const int64_t here = r * longer.columns + s;
        const int64_t next = here + (down ? longer.columns : 1);
        add_to(longer.at[static_cast<size_t>(here)], product(tap, on));
        add_to(longer.at[static_cast<size_t>(next)], product(tap, off));
      }
    }
    return longer;
  }
};

/// Matrices (outputs, inputs) at the places of a kernel.
Taps orthogonal_taps(int64_t outputs, int64_t inputs, int64_t rows, int64_t columns, Rng rng) {
  const int64_t n = std::max(outputs, inputs);
  uint64_t number = 0;
  Tensor one = Tensor::zeros({n, n}, DType::F64);
  for (int64_t i = 0; i < n; ++i) one.data<double>()[i * n + i] = 1.0;
  Taps taps{1, 1, {one}};
  while (taps.rows < rows || taps.columns < columns) {
    if (taps.rows < rows) taps = taps.times_factor(true, rng.fork(number++));
    if (taps.columns < columns) taps = taps.times_factor(false, rng.fork(number++));
  }
  const Tensor turn = orthonormal(outputs, inputs, rng.fork(number));
  for (Tensor& tap : taps.at) tap = outputs >= inputs ? product(tap, turn) : product(turn, tap);
  return taps;
}

}  // namespace

void orthogonal_convolution(Parameter& weight, Rng rng, int64_t groups, double gain) {
  const Shape& shape = weight.shape();
  ESPALIER_CHECK(groups >= 1 && shape.size(0) % groups == 0,
                 ValueError,
                 "orthogonal_convolution: ",
                 groups,
                 " groups don't divide the outputs of ",
                 shape);
  if (shape.rank() != 4 || (shape[2] == 1 && shape[3] == 1 && groups == 1)) {
    orthogonal(weight, rng, gain);
    return;
  }
  const int64_t outputs = shape[0] / groups;
  const int64_t inputs = shape[1];
  const int64_t places = shape[2] * shape[3];
  Tensor value = Tensor::empty(shape, DType::F64);
  for (int64_t g = 0; g < groups; ++g) {
    double* of_group = value.data<double>() + g * outputs * inputs * places;
    const Rng own = rng.fork(static_cast<uint64_t>(g));
    if (std::max(outputs, inputs) == 1) {
      const Tensor row = orthonormal(1, places, own);
      for (int64_t p = 0; p < places; ++p) of_group[p] = gain * row.data<double>()[p];
      continue;
    }
    const Taps taps = orthogonal_taps(outputs, inputs, shape[2], shape[3], own);
    for (int64_t p = 0; p < places; ++p) {
      const double* tap = taps.at[static_cast<size_t>(p)].data<double>();
      for (int64_t i = 0; i < outputs * inputs; ++i) of_group[i * places + p] = gain * tap[i];
    }
  }
  weight.value.value().copy_(value.to(weight.value.dtype()));
  weight.apply_mask();
}

}  // namespace espalier::nn::init
