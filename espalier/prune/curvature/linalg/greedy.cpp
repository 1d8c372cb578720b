// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/linalg/greedy.h>

#include <espalier/prune/curvature/linalg/cholesky.h>

namespace espalier::prune {

std::vector<uint8_t> least_sum_goes(const Tensor& gram, int64_t kept) {
  const int64_t n = gram.size(0);
  const double* g = gram.data<double>();
  std::vector<uint8_t> keep(static_cast<size_t>(n), 1);
  std::vector<double> with_gone(static_cast<size_t>(n), 0.0);  // x_c times the sum of what is gone
  for (int64_t left = n; left > kept; --left) {
    int64_t next = -1;
    double least = 0.0;
    for (int64_t c = n - 1; c >= 0; --c) {
      if (keep[static_cast<size_t>(c)] == 0) continue;
      const double more = g[c * n + c] + 2.0 * with_gone[static_cast<size_t>(c)];
      if (next >= 0 && !(more < least)) continue;
      next = c;
      least = more;
    }
    keep[static_cast<size_t>(next)] = 0;
    for (int64_t c = 0; c < n; ++c) with_gone[static_cast<size_t>(c)] += g[c * n + next];
  }
  return keep;
}

std::vector<double> factors_of_kept(const Tensor& gram, std::span<const uint8_t> keep) {
  const int64_t n = gram.size(0);
  std::vector<int64_t> stay;
  for (int64_t c = 0; c < n; ++c) {
    if (keep[static_cast<size_t>(c)] != 0) stay.push_back(c);
  }
  std::vector<double> factors(static_cast<size_t>(n), 0.0);
  const auto count = static_cast<int64_t>(stay.size());
  if (count == 0) return factors;
  Tensor among = Tensor::empty({count, count}, DType::F64);
  Tensor with_all = Tensor::zeros({count, 1}, DType::F64);
  for (int64_t i = 0; i < count; ++i) {
    const double* row = gram.data<double>() + stay[static_cast<size_t>(i)] * n;
    for (int64_t d = 0; d < n; ++d) with_all.data<double>()[i] += row[d];
    for (int64_t j = 0; j < count; ++j) {
      among.data<double>()[i * count + j] = row[stay[static_cast<size_t>(j)]];
    }
  }
  const Tensor found = solve_near(among, with_all, Tensor::ones({count, 1}, DType::F64));
  for (int64_t i = 0; i < count; ++i) {
    factors[static_cast<size_t>(stay[static_cast<size_t>(i)])] = found.data<double>()[i];
  }
  return factors;
}

}  // namespace espalier::prune
