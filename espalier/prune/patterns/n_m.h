// SPDX-License-Identifier: Apache-2.0
/// N:M patterns: of every M neighbouring input channels (at one tap, of one output channel or of G
/// neighbouring ones together) exactly N stay.
///
/// Source: Mishra et al., arXiv 2104.08378 (2:4); Zhou et al., arXiv 2102.04010 (groups run along
/// the input channels). N is the KEPT number.
#pragma once

#include <espalier/prune/patterns/pattern.h>

namespace espalier::prune {

/// `N:M`, or `N:MgG` for G > 1.
class NMPattern : public Pattern {
 public:
  /// Throws ValueError unless 1 <= n < m and group >= 1.
  NMPattern(int64_t n, int64_t m, int64_t group = 1);
  std::string name() const override;
  Speedup speedup() const override { return Speedup::SemiStructured; }
  /// Unit (o/G, r, s, i): the M units of a cell are consecutive.
  Units units(const Shape& weight) const override;
  std::string refusal(const Shape& weight) const override;
  UnitCell cell() const override { return {n_, m_}; }
  /// Output channels that share a mask.
  int64_t group() const { return group_; }

 private:
  int64_t n_;
  int64_t m_;
  int64_t group_;
};

/// `n:M`: the same groups, of which a method finds N for each layer; M is a power of two.
class OpenNMPattern : public Pattern {
 public:
  /// Throws ValueError unless m is a power of two and at least 2.
  explicit OpenNMPattern(int64_t m);
  std::string name() const override;
  Speedup speedup() const override { return Speedup::SemiStructured; }
  Units units(const Shape& weight) const override { return groups_.units(weight); }
  std::string refusal(const Shape& weight) const override { return groups_.refusal(weight); }
  /// M.
  int64_t size() const { return groups_.cell().size; }

 private:
  NMPattern groups_;
};

}  // namespace espalier::prune
