// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/support.h>

#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include <espalier/core/loops.h>

namespace espalier::sparse {
namespace {

// Batch sizes and directions that a layer meets in turn; beyond that the kept results are dropped.
constexpr size_t kMostDerived = 16;

}  // namespace

struct Support::Streams {
  std::once_flag kept_once;
  std::vector<int32_t> kept;
  std::mutex derived_mutex;
  std::map<std::pair<std::type_index, std::vector<int64_t>>, std::shared_ptr<const void>> derived;
};

Support::Support(const Tensor& mask)
    : mask_(mask.to(Layout::Nchw).clone()), streams_(std::make_shared<Streams>()) {
  const uint8_t* m = mask_.data<uint8_t>();
  for (int64_t i = 0; i < mask_.numel(); ++i) {
    ESPALIER_CHECK(m[i] <= 1,
                   ValueError,
                   "support: a mask holds 0 and 1, got ",
                   static_cast<int>(m[i]),
                   " at flat position ",
                   i);
    nnz_ += m[i];
  }
}

std::shared_ptr<const void> Support::derived_erased(std::type_index type,
                                                    const std::vector<int64_t>& key,
                                                    const MakeErased& make) const {
  const std::lock_guard lock(streams_->derived_mutex);
  auto& kept = streams_->derived;
  const auto found = kept.find({type, key});
  if (found != kept.end()) return found->second;
  if (kept.size() >= kMostDerived) kept.clear();
  return kept.emplace(std::pair(type, key), make()).first->second;
}

double Support::density() const {
  return numel() == 0 ? 1.0 : static_cast<double>(nnz_) / static_cast<double>(numel());
}

const std::vector<int32_t>& Support::kept() const {
  std::call_once(streams_->kept_once, [this] {
    ESPALIER_CHECK(numel() <= std::numeric_limits<int32_t>::max(),
                   ValueError,
                   "support: expects fewer than 2^31 weights, got ",
                   shape());
    const uint8_t* m = mask_.data<uint8_t>();
    streams_->kept.reserve(static_cast<size_t>(nnz_));
    for (int64_t i = 0; i < numel(); ++i) {
      if (m[i] != 0) streams_->kept.push_back(static_cast<int32_t>(i));
    }
  });
  return streams_->kept;
}

Support nonzero_support(const Tensor& weight) {
  const Tensor plain = weight.to(Layout::Nchw).contiguous();
  Tensor mask = Tensor::empty(plain.shape(), DType::U8);
  dispatch_floating(plain.dtype(), "nonzero_support", [&](auto zero) {
    using T = decltype(zero);
    map_into<uint8_t, T>(mask, plain, [](T value) -> uint8_t { return value != T{0}; });
  });
  return Support(mask);
}

Tensor masked(const Tensor& dense, const Support& support) {
  ESPALIER_CHECK(dense.shape() == support.shape(),
                 ShapeError,
                 "masked: expects the support's shape ",
                 support.shape(),
                 ", got ",
                 dense.shape());
  Tensor out = Tensor::empty(dense.shape(), dense.dtype());
  dispatch(dense.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, uint8_t>(
        out, dense, support.mask(), [](T value, uint8_t kept) { return kept != 0 ? value : T{0}; });
  });
  return out;
}

}  // namespace espalier::sparse
