// SPDX-License-Identifier: Apache-2.0
/// The shapes of the ten digits as strokes, in several hands each. Not a public interface.
#pragma once

#include <span>

namespace espalier::data::synth {

/// A position; in glyph space x is in about -0.55..0.55 to the right and y in -1..1 downwards.
struct Point {
  float x = 0.0f;
  float y = 0.0f;
};

/// A line through its points, straight or smooth (Catmull-Rom), open or closed.
struct Stroke {
  enum class Kind { Straight, Smooth, SmoothClosed };
  Kind kind = Kind::Straight;
  std::span<const Point> points;
};

/// One way to write a digit.
struct Glyph {
  std::span<const Stroke> strokes;
};

/// The ways to write `digit` (0..9); at least one.
std::span<const Glyph> glyphs(int digit);

}  // namespace espalier::data::synth
