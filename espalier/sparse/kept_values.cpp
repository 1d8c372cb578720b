// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kept_values.h>

#include <algorithm>

#include <espalier/core/loops.h>
#include <espalier/core/parallel.h>

namespace espalier::sparse {
namespace {

constexpr int64_t kGrain = 1 << 14;

}  // namespace

Tensor kept_values(const Tensor& dense, const Pattern& pattern) {
  ESPALIER_CHECK(dense.shape() == pattern.shape(),
                 ShapeError,
                 "kept_values: expects the pattern's shape ",
                 pattern.shape(),
                 ", got ",
                 dense.shape());
  const Tensor plain = dense.to(Layout::Nchw).contiguous();
  Tensor values = Tensor::empty({pattern.nnz()}, dense.dtype());
  const int32_t* kept = pattern.kept().data();
  dispatch_floating(dense.dtype(), "kept_values", [&](auto zero) {
    using T = decltype(zero);
    const T* from = plain.data<T>();
    T* to = values.data<T>();
    parallel_for(pattern.nnz(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = from[kept[i]];
    });
  });
  return values;
}

Tensor dense_from_kept(const Tensor& values, const Pattern& pattern) {
  ESPALIER_CHECK(values.shape() == Shape({pattern.nnz()}),
                 ShapeError,
                 "dense_from_kept: expects ",
                 pattern.nnz(),
                 " values, got ",
                 values.shape());
  const Tensor plain = values.to(Layout::Nchw).contiguous();
  Tensor dense = Tensor::zeros(pattern.shape(), values.dtype());
  const int32_t* kept = pattern.kept().data();
  dispatch_floating(values.dtype(), "dense_from_kept", [&](auto zero) {
    using T = decltype(zero);
    const T* from = plain.data<T>();
    T* to = dense.data<T>();
    parallel_for(pattern.nnz(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[kept[i]] = from[i];
    });
  });
  return dense;
}

int32_t kept_before(const Pattern& pattern, int64_t position) {
  const auto at = std::ranges::lower_bound(pattern.kept(), position);
  return static_cast<int32_t>(at - pattern.kept().begin());
}

}  // namespace espalier::sparse
