// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/error.h>
#include <espalier/prune/patterns/block.h>
#include <espalier/prune/patterns/n_m.h>

namespace espalier::prune {

NMPattern::NMPattern(int64_t n, int64_t m, int64_t group) : n_(n), m_(m), group_(group) {
  ESPALIER_CHECK(
      n >= 1 && n < m && group >= 1,
      ValueError,
      "pattern N:M: expects 1 <= N < M (N is the kept number) and a group of at least 1, got ",
      n,
      ":",
      m,
      "g",
      group);
}

std::string NMPattern::name() const {
  return group_ == 1 ? cat(n_, ":", m_) : cat(n_, ":", m_, "g", group_);
}

std::string NMPattern::refusal(const Shape& weight) const {
  const int64_t inputs = weight_dims(weight)[1];
  if (inputs % m_ == 0) return {};
  return cat(
      inputs, inputs == 1 ? " input channel is" : " input channels are", " not a multiple of ", m_);
}

Units NMPattern::units(const Shape& weight) const {
  const auto dims = weight_dims(weight);
  ESPALIER_CHECK(refusal(weight).empty(), ShapeError, "pattern ", name(), ": ", refusal(weight));
  const int64_t taps = dims[2] * dims[3];
  Units units;
  units.count = (dims[0] + group_ - 1) / group_ * taps * dims[1];
  units.of_weight.reserve(static_cast<size_t>(weight.numel()));
  for (int64_t o = 0; o < dims[0]; ++o) {
    for (int64_t i = 0; i < dims[1]; ++i) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        units.of_weight.push_back(static_cast<int32_t>((o / group_ * taps + tap) * dims[1] + i));
      }
    }
  }
  return units;
}

OpenNMPattern::OpenNMPattern(int64_t m) : groups_(1, m) {
  ESPALIER_CHECK((m & (m - 1)) == 0, ValueError, "pattern n:M: expects a power of two, got ", m);
}

std::string OpenNMPattern::name() const {
  return cat("n:", size());
}

}  // namespace espalier::prune
