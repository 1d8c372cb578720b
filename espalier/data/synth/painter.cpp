// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/synth/painter.h>

#include <algorithm>
#include <cmath>

namespace espalier::data::synth {
namespace {

constexpr float kGlyphHalfWidth = 0.55f;

using Colour = std::array<float, 3>;

// The look of one number plate: what its digits have in common.
struct Style {
  float half_height;  // of a digit, in pixels
  float half_width;
  float radius;    // of the pen
  float softness;  // width of the edge of a stroke, in pixels
  float shear;
  float cosine, sine;  // of the slope of the base line
  float gap;           // between digits
  Point centre;
};

Style draw_style(Rng& rng) {
  Style s{};
  s.half_height = uniform(rng, 7.5f, 12.5f);
  s.half_width = kGlyphHalfWidth * s.half_height * uniform(rng, 0.75f, 1.30f);
  s.radius = s.half_height * uniform(rng, 0.08f, 0.22f);
  s.softness = uniform(rng, 0.8f, 2.6f);
  s.shear = uniform(rng, -0.25f, 0.35f);
  // Half-angle form of a rotation by up to 14 degrees.
  const float t = uniform(rng, -0.12f, 0.12f);
  s.cosine = (1.0f - t * t) / (1.0f + t * t);
  s.sine = 2.0f * t / (1.0f + t * t);
  s.gap = uniform(rng, 0.0f, 4.0f);
  s.centre = {16.0f + uniform(rng, -2.2f, 2.2f), 16.0f + uniform(rng, -2.2f, 2.2f)};
  return s;
}

// The pose of the digit `slot` places to the right of the labelled one.
Pose draw_pose(const Style& s, int slot, Rng& rng) {
  Pose pose;
  const float stretch = uniform(rng, 0.92f, 1.08f);
  const float sx = s.half_width / kGlyphHalfWidth * stretch;
  const float sy = s.half_height * uniform(rng, 0.94f, 1.06f);
  pose.xx = s.cosine * sx;
  pose.xy = s.cosine * s.shear * sy * -1.0f - s.sine * sy;
  pose.yx = s.sine * sx;
  pose.yy = s.cosine * sy - s.sine * s.shear * sy;
  const float advance = static_cast<float>(slot) * 2.0f * (s.half_width + s.radius) +
                        static_cast<float>(slot) * s.gap;
  pose.centre = {s.centre.x + s.cosine * advance, s.centre.y + s.sine * advance};
  if (slot != 0) pose.centre.y += uniform(rng, -1.0f, 1.0f);
  for (float& coefficient : pose.bend) coefficient = uniform(rng, -0.14f, 0.14f);
  pose.tremble = 0.05f;
  return pose;
}

void draw_digit(int digit, const Style& style, int slot, Rng& rng, DistanceMap& map) {
  const auto ways = glyphs(digit);
  const Glyph& glyph = ways[static_cast<size_t>(rng.below(ways.size()))];
  const Pose pose = draw_pose(style, slot, rng);
  draw_glyph(glyph, pose, rng, map);
}

Colour draw_colour(float lightness, Rng& rng) {
  Colour colour;
  for (float& channel : colour) {
    channel = std::clamp(lightness + uniform(rng, -38.0f, 38.0f), 4.0f, 251.0f);
  }
  return colour;
}

// Lightness of wall and paint: either may be the lighter one, the difference is never too small to
// read.
struct Contrast {
  float back, front;
};

Contrast draw_contrast(Rng& rng) {
  Contrast c{};
  c.back = uniform(rng, 35.0f, 215.0f);
  float difference = uniform(rng, 48.0f, 135.0f);
  if (rng.uniform() < 0.4f) difference = -difference;
  if (c.back + difference < 12.0f || c.back + difference > 243.0f) difference = -difference;
  c.front = std::clamp(c.back + difference, 8.0f, 247.0f);
  return c;
}

// Light from one side, blotches, grain, and sometimes the edge of a board.
Plane draw_wall(Rng& rng) {
  Plane wall;
  const float slope_x = uniform(rng, -1.2f, 1.2f);
  const float slope_y = uniform(rng, -1.2f, 1.2f);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      wall[static_cast<size_t>(y * kSide + x)] =
          slope_x * (static_cast<float>(x) - 15.5f) + slope_y * (static_cast<float>(y) - 15.5f);
    }
  }
  add_texture(wall, 4, uniform(rng, 3.0f, 26.0f), rng);
  add_texture(wall, 11, uniform(rng, 1.0f, 14.0f), rng);
  if (rng.uniform() < 0.35f) {
    const float nx = uniform(rng, -1.0f, 1.0f);
    const float ny = rng.uniform() < 0.5f ? -1.0f : 1.0f;
    const float offset = uniform(rng, 7.0f, 15.0f);
    const float step = uniform(rng, -60.0f, 60.0f);
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        const float side = nx * 0.4f * (static_cast<float>(x) - 15.5f) +
                           ny * (static_cast<float>(y) - 15.5f) - offset;
        wall[static_cast<size_t>(y * kSide + x)] += step * std::clamp(side + 0.5f, 0.0f, 1.0f);
      }
    }
  }
  return wall;
}

// How much of each pixel is paint, 0..1.
Plane coverage(const DistanceMap& map, const Style& style) {
  Plane out;
  const float inverse = 1.0f / style.softness;
  for (int p = 0; p < kSide * kSide; ++p) {
    const float edge = style.radius - std::sqrt(map.squared(p));
    out[static_cast<size_t>(p)] = std::clamp(0.5f + edge * inverse, 0.0f, 1.0f);
  }
  return out;
}

float shifted(const Plane& plane, int y, int x) {
  if (y < 0 || y >= kSide || x < 0 || x >= kSide) return 0.0f;
  return plane[static_cast<size_t>(y * kSide + x)];
}

uint8_t to_byte(float value) {
  return static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f) + 0.5f);
}

}  // namespace

void paint(int digit, Rng& rng, std::span<uint8_t, 3 * kSide * kSide> pixels) {
  const Style style = draw_style(rng);
  DistanceMap map(style.radius + style.softness);
  draw_digit(digit, style, 0, rng, map);
  for (const int slot : {-1, 1}) {
    if (rng.uniform() < 0.62f) draw_digit(static_cast<int>(rng.below(10)), style, slot, rng, map);
  }
  const Plane paint = coverage(map, style);

  const Contrast contrast = draw_contrast(rng);
  const Colour back = draw_colour(contrast.back, rng);
  const Colour front = draw_colour(contrast.front, rng);
  const Plane wall = draw_wall(rng);
  const float wear = uniform(rng, 0.2f, 0.7f);  // how much of the wall's texture shows on the paint
  const bool has_shadow = rng.uniform() < 0.3f;
  const float shadow_depth = has_shadow ? uniform(rng, 15.0f, 55.0f) : 0.0f;
  const int shadow_x = rng.uniform() < 0.5f ? -1 : 1;
  const int shadow_y = rng.uniform() < 0.3f ? -1 : 1;
  const float grain = uniform(rng, 1.0f, 14.0f) / 128.0f;

  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const auto p = static_cast<size_t>(y * kSide + x);
      const float a = paint[p];
      const float dark =
          has_shadow ? shadow_depth * shifted(paint, y - shadow_y, x - shadow_x) : 0.0f;
      // Four bytes of one word: two make the triangular noise of all channels, two tint red and
      // blue.
      const uint32_t word = rng.next_u32();
      const float b0 = static_cast<float>(word & 255u) - 127.5f;
      const float b1 = static_cast<float>(word >> 8 & 255u) - 127.5f;
      const float b2 = static_cast<float>(word >> 16 & 255u) - 127.5f;
      const float b3 = static_cast<float>(word >> 24) - 127.5f;
      const float noise[3] = {grain * (b0 + b1 + b2), grain * (b0 + b1), grain * (b0 + b1 + b3)};
      for (size_t c = 0; c < 3; ++c) {
        const float below = back[c] + wall[p] - dark;
        const float above = front[c] + wear * wall[p];
        pixels[c * kSide * kSide + p] = to_byte(below + a * (above - below) + noise[c]);
      }
    }
  }
}

}  // namespace espalier::data::synth
