// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/linalg/inverse_fisher.h>

#include <espalier/core/parallel.h>

namespace espalier::prune {
namespace {

constexpr int64_t kBlockGrain = 16;

/// F⁻¹ -= u uᵀ / (count + gᵀ u) with u = F⁻¹ g. Both halves get the same bits, so the matrix stays
/// symmetric.
void update(
    double* inverse, const double* g, int64_t n, double count, std::vector<double>& scratch) {
  scratch.assign(static_cast<size_t>(n), 0.0);
  double* u = scratch.data();
  for (int64_t j = 0; j < n; ++j) {  // by rows, which are columns
    for (int64_t i = 0; i < n; ++i) u[i] += inverse[j * n + i] * g[j];
  }
  double total = count;
  for (int64_t i = 0; i < n; ++i) total += g[i] * u[i];
  const double share = 1.0 / total;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) inverse[i * n + j] -= u[i] * u[j] * share;
  }
}

}  // namespace

InverseFisher::InverseFisher(int64_t entries, int64_t block, double damping, int64_t gradients)
    : entries_(entries), block_(block), gradients_(static_cast<double>(gradients)) {
  ESPALIER_CHECK(entries > 0 && block > 0 && damping > 0.0 && gradients > 0,
                 ValueError,
                 "inverse Fisher: expects entries, block, damping and gradients above 0, got ",
                 entries,
                 ", ",
                 block,
                 ", ",
                 damping,
                 " and ",
                 gradients);
  const int64_t last = blocks() - 1;
  values_.assign(static_cast<size_t>(last * block_ * block_ + size(last) * size(last)), 0.0);
  for (int64_t b = 0; b <= last; ++b) {
    double* of_block = values_.data() + b * block_ * block_;
    for (int64_t i = 0; i < size(b); ++i) of_block[i * size(b) + i] = 1.0 / damping;
  }
}

void InverseFisher::add(std::span<const double> gradient) {
  ESPALIER_CHECK(static_cast<int64_t>(gradient.size()) == entries_,
                 ShapeError,
                 "inverse Fisher: expects a gradient of ",
                 entries_,
                 " entries, got ",
                 gradient.size());
  parallel_for(blocks(), kBlockGrain, [&](int64_t first, int64_t end) {
    std::vector<double> scratch;
    for (int64_t b = first; b < end; ++b) {
      const double* g = gradient.data() + begin(b);
      const bool silent = std::all_of(g, g + size(b), [](double x) { return x == 0.0; });
      if (!silent) {
        update(values_.data() + b * block_ * block_, g, size(b), gradients_, scratch);
      }
    }
  });
}

Tensor InverseFisher::inverse(int64_t block) const {
  const int64_t n = size(block);
  Tensor copy = Tensor::empty({n, n}, DType::F64);
  std::copy_n(values_.data() + block * block_ * block_, n * n, copy.data<double>());
  return copy;
}

}  // namespace espalier::prune
