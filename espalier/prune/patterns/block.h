// SPDX-License-Identifier: Apache-2.0
/// Block patterns: a unit is a box of the weight (O,I,R,S). Unstructured, 4x1, kernels, stripes,
/// filters and layers are all boxes; they differ in the box's size alone.
#pragma once

#include <array>

#include <espalier/prune/patterns/pattern.h>

namespace espalier::prune {

/// Size of a unit along output channels, input channels, kernel rows and columns; 0 = all of them.
using Box = std::array<int64_t, 4>;

/// A pattern whose units are boxes, numbered in the order of their first weights.
class BlockPattern : public Pattern {
 public:
  /// `box` is the size of a block.
  BlockPattern(std::string name, Speedup speedup, const Box& box)
      : name_(std::move(name)), speedup_(speedup), box_(box) {}
  std::string name() const override { return name_; }
  Speedup speedup() const override { return speedup_; }
  Units units(const Shape& weight) const override;

 private:
  std::string name_;
  Speedup speedup_;
  Box box_;
};

/// The shape (O,I,R,S) of a weight of any rank >= 2: missing dimensions are 1, further ones are
/// merged into the last. Throws ShapeError for a lower rank.
std::array<int64_t, 4> weight_dims(const Shape& weight);

}  // namespace espalier::prune
