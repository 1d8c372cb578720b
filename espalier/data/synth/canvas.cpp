// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/synth/canvas.h>

#include <algorithm>

namespace espalier::data::synth {
namespace {

constexpr int kPiecesPerSpan = 4;
constexpr size_t kMaxPoints = 16;

Point place(const Pose& pose, Point p) {
  const auto& b = pose.bend;
  const float x =
      p.x + b[0] * (p.y * p.y - 0.4f) + b[1] * p.x * p.y + b[2] * p.y * (p.y * p.y - 1.0f);
  const float y = p.y + b[3] * (p.x * p.x - 0.1f) + b[4] * p.x * p.y;
  return {pose.centre.x + pose.xx * x + pose.xy * y, pose.centre.y + pose.yx * x + pose.yy * y};
}

// Catmull-Rom: through b and c, with the slopes (c-a)/2 and (d-b)/2.
float spline(float a, float b, float c, float d, float t) {
  return b + 0.5f * t *
                 (c - a + t * (2.0f * a - 5.0f * b + 4.0f * c - d + t * (3.0f * (b - c) + d - a)));
}

int clamped_pixel(float x) {
  return std::clamp(static_cast<int>(x), 0, kSide);
}

}  // namespace

DistanceMap::DistanceMap(float reach) : reach_(reach) {
  squared_.fill(reach * reach);
}

void DistanceMap::add_segment(Point a, Point b) {
  const int x0 = clamped_pixel(std::min(a.x, b.x) - reach_);
  const int x1 = clamped_pixel(std::max(a.x, b.x) + reach_ + 1.0f);
  const int y0 = clamped_pixel(std::min(a.y, b.y) - reach_);
  const int y1 = clamped_pixel(std::max(a.y, b.y) + reach_ + 1.0f);
  const float dx = b.x - a.x;
  const float dy = b.y - a.y;
  const float inverse = 1.0f / std::max(dx * dx + dy * dy, 1e-12f);
  for (int y = y0; y < y1; ++y) {
    const float py = static_cast<float>(y) + 0.5f - a.y;
    float* row = squared_.data() + y * kSide;
    for (int x = x0; x < x1; ++x) {
      const float px = static_cast<float>(x) + 0.5f - a.x;
      const float t = std::clamp((px * dx + py * dy) * inverse, 0.0f, 1.0f);
      const float ex = px - t * dx;
      const float ey = py - t * dy;
      row[x] = std::min(row[x], ex * ex + ey * ey);
    }
  }
}

void draw_glyph(const Glyph& glyph, const Pose& pose, Rng& rng, DistanceMap& map) {
  for (const Stroke& stroke : glyph.strokes) {
    std::array<Point, kMaxPoints> points;
    const int n = static_cast<int>(stroke.points.size());
    for (int i = 0; i < n; ++i) {
      Point p = stroke.points[static_cast<size_t>(i)];
      p.x += uniform(rng, -pose.tremble, pose.tremble);
      p.y += uniform(rng, -pose.tremble, pose.tremble);
      points[static_cast<size_t>(i)] = p;
    }
    const bool closed = stroke.kind == Stroke::Kind::SmoothClosed;
    const auto at = [&](int i) {
      return points[static_cast<size_t>(closed ? (i + n) % n : std::clamp(i, 0, n - 1))];
    };
    Point last = place(pose, at(0));
    for (int i = 0; i < (closed ? n : n - 1); ++i) {
      const Point a = at(i - 1), b = at(i), c = at(i + 1), d = at(i + 2);
      for (int piece = 1; piece <= kPiecesPerSpan; ++piece) {
        const float t = static_cast<float>(piece) / kPiecesPerSpan;
        const Point p = stroke.kind == Stroke::Kind::Straight
                            ? Point{b.x + t * (c.x - b.x), b.y + t * (c.y - b.y)}
                            : Point{spline(a.x, b.x, c.x, d.x, t), spline(a.y, b.y, c.y, d.y, t)};
        const Point next = place(pose, p);
        map.add_segment(last, next);
        last = next;
      }
    }
  }
}

void add_texture(Plane& plane, int cells, float amplitude, Rng& rng) {
  std::array<float, 17 * 17> grid;
  const int n = cells + 1;
  for (int i = 0; i < n * n; ++i)
    grid[static_cast<size_t>(i)] = uniform(rng, -amplitude, amplitude);
  const float scale = static_cast<float>(cells) / kSide;
  for (int y = 0; y < kSide; ++y) {
    const float gy = (static_cast<float>(y) + 0.5f) * scale;
    const int iy = static_cast<int>(gy);
    const float fy = gy - static_cast<float>(iy);
    for (int x = 0; x < kSide; ++x) {
      const float gx = (static_cast<float>(x) + 0.5f) * scale;
      const int ix = static_cast<int>(gx);
      const float fx = gx - static_cast<float>(ix);
      const float* corner = grid.data() + iy * n + ix;
      const float top = corner[0] + fx * (corner[1] - corner[0]);
      const float bottom = corner[n] + fx * (corner[n + 1] - corner[n]);
      plane[static_cast<size_t>(y * kSide + x)] += top + fy * (bottom - top);
    }
  }
}

}  // namespace espalier::data::synth
