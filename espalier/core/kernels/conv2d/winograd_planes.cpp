// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/winograd_planes.h>

#include <algorithm>

#include <espalier/core/kernels/conv2d/winograd.h>
#include <espalier/core/kernels/conv2d/winograd_tiles.h>

namespace espalier::detail {
namespace {

// Input channels of a fill task; output channels of a task, whose products stay near L1.
constexpr int64_t kFillChannels = 4;
constexpr int64_t kRunChannels = 2 * kTileChannels;
// Groups of tiles whose products are there at a time.
constexpr int64_t kGroups = kTilePositions;
// Vectors between one point and the next beyond what they hold, for L1's sets (winograd_tiles.cpp).
constexpr int64_t kSkew = 3;
// Floats of the largest plane and of its rows' copies, which lie on the stack.
constexpr int64_t kMostPlane = 4 << 10;
constexpr int64_t kMostRows = 12 << 10;
// More would read before what lies before x.
constexpr int64_t kMostPadding = 2;
// Layers with fewer channels take as long for the transforms as for direct sums, and so do those
// that save less than this part of the products.
constexpr int64_t kLeastChannels = 8;
constexpr double kLeastGain = 0.7;

WinogradRows rows_of(WinogradTile tile, int64_t tile_rows, int64_t tile_cols) {
  WinogradRows rows;
  rows.length = tile_cols * tile.size;
  // One row more than there are rows of tiles, and what the last group of tiles and the last vector
  // reach over.
  rows.remainder = (tile_rows + 1) * rows.length + kPlanesVector * (tile.size + 1);
  rows.shifted = tile.size * rows.remainder;
  return rows;
}

bool fits(const Conv2dShape& shape, WinogradTile tile) {
  const WinogradRows rows =
      rows_of(tile, ceil_div(shape.p, tile.size), ceil_div(shape.q, tile.size));
  return shape.p * shape.q <= kMostPlane && 2 * rows.shifted <= kMostRows;
}

}  // namespace

int WinogradPlanes::tile_size(const Conv2dShape& shape) {
  const Conv2dAlgorithm algorithm = conv2d_algorithm();
  if (algorithm == Conv2dAlgorithm::Direct || !winograd_fits(shape)) return 0;
  if (shape.options.padding.h > kMostPadding || shape.options.padding.w > kMostPadding) return 0;
  const auto forced = [&](WinogradTile tile) { return fits(shape, tile) ? tile.size : 0; };
  if (algorithm == Conv2dAlgorithm::Winograd2) return forced({2});
  if (algorithm == Conv2dAlgorithm::Winograd4) return forced({4});
  if (std::min(shape.c, shape.k) < kLeastChannels) return 0;
  int best = 0;
  double least = kLeastGain * 9.0 * static_cast<double>(ceil_div(shape.p * shape.q, kPlanesVector));
  for (const WinogradTile tile : {WinogradTile{2}, WinogradTile{4}}) {
    const int64_t tiles = ceil_div(shape.p, tile.size) * ceil_div(shape.q, tile.size);
    const auto products = static_cast<double>(tile.points() * ceil_div(tiles, kPlanesVector));
    if (products >= least || !fits(shape, tile)) continue;
    best = tile.size;
    least = products;
  }
  return best;
}

WinogradPlanes::WinogradPlanes(const Conv2dShape& shape, WinogradTile tile, const float* weight)
    : shape_(shape),
      tile_(tile),
      tile_rows_(ceil_div(shape.p, tile.size)),
      tile_cols_(ceil_div(shape.q, tile.size)),
      groups_(ceil_div(tile_rows_ * tile_cols_, kPlanesVector)),
      rows_(rows_of(tile, tile_rows_, tile_cols_)),
      channel_stride_((groups_ | 1) * kPlanesVector),
      point_stride_(shape.c * channel_stride_ + kSkew * kPlanesVector),
      filters_(WinogradCorrelation::forward(shape, tile, 1)
                   .transform_filters(weight, forward_strides(shape), false)),
      kernels_(winograd_planes_kernels(tile)) {
  for (int64_t c = 0; c < shape.c; ++c) offsets_.push_back(c * channel_stride_);
}

int64_t WinogradPlanes::fill_tasks() const {
  return ceil_div(shape_.c, kFillChannels);
}

void WinogradPlanes::fill(int64_t task, const float* x, float* scratch) const {
  const int64_t last = std::min(shape_.c, (task + 1) * kFillChannels);
  for (int64_t c = task * kFillChannels; c < last; ++c) {
    fill_channel(x + c * shape_.h * shape_.w, scratch + c * channel_stride_);
  }
}

void WinogradPlanes::fill_channel(const float* x, float* points) const {
  alignas(64) float rows[kMostRows];
  kernels_.rows({.x = x,
                 .height = shape_.h,
                 .width = shape_.w,
                 .padding_h = shape_.options.padding.h,
                 .padding_w = shape_.options.padding.w,
                 .rows = (tile_rows_ + 1) * tile_.size,
                 .place = rows_,
                 .to = rows});
  for (int64_t g = 0; g < groups_; ++g) {
    kernels_.input({.rows = rows + g * kPlanesVector * tile_.size,
                    .place = rows_,
                    .points = points + g * kPlanesVector,
                    .point_stride = point_stride_});
  }
}

int64_t WinogradPlanes::tasks() const {
  return ceil_div(shape_.k, kRunChannels);
}

/// The rows of sixteen tiles to their places in a plane.
void WinogradPlanes::place(const float* rows, int64_t group, float* plane) const {
  const int64_t size = tile_.size;
  const int64_t count = std::min(kPlanesVector, tile_rows_ * tile_cols_ - group * kPlanesVector);
  int64_t row = group * kPlanesVector / tile_cols_ * size;
  int64_t col = group * kPlanesVector % tile_cols_ * size;
  for (int64_t t = 0; t < count; ++t, rows += size) {
    const int64_t height = std::min(size, shape_.p - row);
    const int64_t width = std::min(size, shape_.q - col);
    const float* from = rows;
    float* to = plane + row * shape_.q + col;
    for (int64_t i = 0; i < height; ++i, from += kPlanesVector * size, to += shape_.q) {
      if (width == 4) {
        std::copy_n(from, 4, to);
      } else {
        for (int64_t j = 0; j < width; ++j) to[j] = from[j];
      }
    }
    col += size;
    if (col >= shape_.q) {
      col = 0;
      row += size;
    }
  }
}

void WinogradPlanes::run(int64_t task, const PlanesOperands& operands, const float* scratch) const {
  static constexpr float kZeros[kTileChannels] = {};
  alignas(64) float products[kMostWinogradPoints * kRunChannels * kGroups * kPlanesVector];
  alignas(64) float planes[kRunChannels][kMostPlane + kPlanesVector];
  alignas(64) float rows[4 * 4 * kPlanesVector];
  const int64_t first = task * kRunChannels;
  const int64_t count = std::min(kRunChannels, shape_.k - first);
  for (int64_t group = 0; group < groups_; group += kGroups) {
    const int64_t side_by_side = std::min(kGroups, groups_ - group);
    const int64_t channel = side_by_side * kPlanesVector;
    const int64_t point = kRunChannels * channel;
    // Channels take the place of taps: the kernel's inner loop then runs over them.
    TileJob job;
    job.x_channel_stride = 0;
    job.x_step = kPlanesVector;
    job.tap_offsets = offsets_.data();
    job.taps = shape_.c;
    job.channels = 1;
    job.y_channel_stride = channel;
    job.y_step = kPlanesVector;
    job.start = kZeros;
    for (int64_t j = 0; j < tile_.points(); ++j) {
      job.x = scratch + j * point_stride_ + group * kPlanesVector;
      for (int64_t k = 0; k < count; k += kTileChannels) {
        const int64_t block = std::min<int64_t>(kTileChannels, count - k);
        job.weights = filters_.data<float>() + (j * shape_.k + first + k) * shape_.c;
        job.weight_channel_stride = shape_.c * block;
        job.y = products + j * point + k * channel;
        products_.row(job, static_cast<int>(block), side_by_side);
      }
    }
    for (int64_t k = 0; k < count; ++k) {
      for (int64_t g = 0; g < side_by_side; ++g) {
        kernels_.output({.points = products + k * channel + g * kPlanesVector,
                         .point_stride = point,
                         .bias = operands.bias == nullptr ? 0.0f : operands.bias[first + k],
                         .rows = rows});
        place(rows, group + g, planes[k]);
      }
    }
  }
  const int64_t plane = shape_.p * shape_.q;
  for (int64_t k = 0; k < count; ++k) {
    const int64_t at = (first + k) * plane;
    kernels_.finish(planes[k],
                    operands.residual == nullptr ? nullptr : operands.residual + at,
                    operands.limits,
                    plane,
                    operands.y + at);
  }
}

}  // namespace espalier::detail
