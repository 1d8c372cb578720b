// SPDX-License-Identifier: Apache-2.0
/// The plane on which SynthDigits is drawn: distances to strokes, and smooth random textures. Only
/// +, -,
/// *, / and square roots, so that pictures have the same bits everywhere. Not a public interface.
#pragma once

#include <array>
#include <cstdint>

#include <espalier/core/random.h>
#include <espalier/data/synth/glyphs.h>

namespace espalier::data::synth {

/// Side of a picture.
inline constexpr int kSide = 32;
/// One value a pixel, rows first.
using Plane = std::array<float, kSide * kSide>;

/// Uniform in [low, high).
inline float uniform(Rng& rng, float low, float high) {
  return low + (high - low) * rng.uniform();
}

/// Squared distance of each pixel to the nearest stroke so far, as far as it is below `reach`^2.
class DistanceMap {
 public:
  explicit DistanceMap(float reach);
  /// Adds the segment a-b, in pixels.
  void add_segment(Point a, Point b);
  float squared(int pixel) const { return squared_[static_cast<size_t>(pixel)]; }

 private:
  float reach_;
  Plane squared_;
};

/// How a digit is placed: glyph space to pixels, a bend and a tremble of the hand.
struct Pose {
  float xx = 1.0f, xy = 0.0f, yx = 0.0f, yy = 1.0f;  ///< linear part
  Point centre = {};
  std::array<float, 5> bend = {};  ///< coefficients of a cubic warp of glyph space
  float tremble = 0.0f;            ///< largest displacement of a control point, in glyph units
};

/// Draws the strokes of `glyph` in `pose` into `map`.
void draw_glyph(const Glyph& glyph, const Pose& pose, Rng& rng, DistanceMap& map);

/// Adds smooth noise: random values in -amplitude..amplitude on a grid of cells x cells, between
/// them bilinear. cells is 1..16.
void add_texture(Plane& plane, int cells, float amplitude, Rng& rng);

}  // namespace espalier::data::synth
