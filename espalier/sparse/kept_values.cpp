// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kept_values.h>

#include <espalier/core/loops.h>
#include <espalier/core/parallel.h>

namespace espalier::sparse {
namespace {

constexpr int64_t kGrain = 1 << 14;

}  // namespace

Tensor kept_values(const Tensor& dense, const Support& support) {
  ESPALIER_CHECK(dense.shape() == support.shape(),
                 ShapeError,
                 "kept_values: expects the support's shape ",
                 support.shape(),
                 ", got ",
                 dense.shape());
  const Tensor plain = dense.to(Layout::Nchw).contiguous();
  Tensor values = Tensor::empty({support.nnz()}, dense.dtype());
  const int32_t* kept = support.kept().data();
  dispatch_floating(dense.dtype(), "kept_values", [&](auto zero) {
    using T = decltype(zero);
    const T* from = plain.data<T>();
    T* to = values.data<T>();
    parallel_for(support.nnz(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = from[kept[i]];
    });
  });
  return values;
}

Tensor dense_from_kept(const Tensor& values, const Support& support) {
  ESPALIER_CHECK(values.shape() == Shape({support.nnz()}),
                 ShapeError,
                 "dense_from_kept: expects ",
                 support.nnz(),
                 " values, got ",
                 values.shape());
  const Tensor plain = values.to(Layout::Nchw).contiguous();
  Tensor dense = Tensor::zeros(support.shape(), values.dtype());
  const int32_t* kept = support.kept().data();
  dispatch_floating(values.dtype(), "dense_from_kept", [&](auto zero) {
    using T = decltype(zero);
    const T* from = plain.data<T>();
    T* to = dense.data<T>();
    parallel_for(support.nnz(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[kept[i]] = from[i];
    });
  });
  return dense;
}

Tensor gather_values(const Tensor& values, const std::vector<int32_t>& ranks) {
  const auto size = static_cast<int64_t>(ranks.size());
  Tensor out = Tensor::empty({size}, values.dtype());
  dispatch_floating(values.dtype(), "gather_values", [&](auto zero) {
    using T = decltype(zero);
    const T* from = values.data<T>();
    T* to = out.data<T>();
    parallel_for(size, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int32_t rank = ranks[static_cast<size_t>(i)];
        to[i] = rank < 0 ? T{0} : from[rank];
      }
    });
  });
  return out;
}

}  // namespace espalier::sparse
