// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/planes_input.h>

#include <algorithm>

#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/kernels/conv2d/planes_micro.h>

namespace espalier::detail {
namespace {

int64_t floor_div(int64_t a, int64_t b) {
  return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/// Whether any of `count` positions, `step` apart from `first` on, lies in [0, size).
bool meets(int64_t first, int64_t step, int64_t count, int64_t size) {
  for (int64_t i = 0; i < count; ++i) {
    if (first + i * step >= 0 && first + i * step < size) return true;
  }
  return false;
}

}  // namespace

PlanesInput::PlanesInput(const TapConvolution& conv, bool shifted)
    : in_h_(conv.in_h), in_w_(conv.in_w) {
  const Pair step = conv.in_step;
  const bool wide = conv.grid_w % kPlanesVector == 0;
  const bool by_column = shifted || !wide;
  std::vector<Tap> taps;
  for (const Tap& tap : conv.taps) {
    if (meets(tap.dh, step.h, conv.grid_h, in_h_) && meets(tap.dw, step.w, conv.grid_w, in_w_)) {
      taps.push_back(tap);
    }
  }
  // A convolution that meets nothing but padding keeps one tap, on zeros.
  if (taps.empty()) taps.push_back(conv.taps.front());
  const auto column_of = [&](const Tap& tap) {
    return by_column ? tap.dw : tap.dw - floor_div(tap.dw, step.w) * step.w;
  };
  const auto phase_of = [&](const Tap& tap) { return tap.dh - floor_div(tap.dh, step.h) * step.h; };
  // The reach of the columns of any copy, in steps from its own `left`.
  int64_t least = 0;
  int64_t most = 0;
  for (const Tap& tap : taps) {
    const int64_t steps = (tap.dw - column_of(tap)) / step.w;
    least = &tap == taps.data() ? steps : std::min(least, steps);
    most = &tap == taps.data() ? steps : std::max(most, steps);
  }
  pitch_ = conv.grid_w + most - least;
  const auto find = [&](const Tap& tap) {
    const int64_t left = column_of(tap) + least * step.w;
    return std::find_if(copies_.begin(), copies_.end(), [&](const PlanesCopy& copy) {
      return copy.phase == phase_of(tap) && copy.left == left;
    });
  };
  for (const Tap& tap : taps) {
    const int64_t row = floor_div(tap.dh, step.h);
    const auto found = find(tap);
    if (found == copies_.end()) {
      copies_.push_back({phase_of(tap), row, conv.grid_h, column_of(tap) + least * step.w, 0});
    } else {
      const int64_t end = std::max(found->first + found->rows, row + conv.grid_h);
      found->first = std::min(found->first, row);
      found->rows = end - found->first;
    }
  }
  in_place_ = copies_.size() == 1 && step == Pair(1) && copies_[0].left == 0 &&
              copies_[0].first == 0 && copies_[0].rows == in_h_ && pitch_ == in_w_;
  for (PlanesCopy& copy : copies_) {
    copy.at = channel_stride_;
    channel_stride_ += copy.rows * pitch_;
  }
  // Channels begin where lines of the cache do, as far as that does not cost more than it gives.
  if (!in_place_ && pitch_ >= 8) {
    channel_stride_ = ceil_div(channel_stride_, kPlanesVector) * kPlanesVector;
  }
  for (const Tap& tap : taps) {
    const PlanesCopy& copy = *find(tap);
    const int64_t row = floor_div(tap.dh, step.h) - copy.first;
    const int64_t col = (tap.dw - column_of(tap)) / step.w - least;
    offsets_.push_back(static_cast<int32_t>(copy.at + row * pitch_ + col));
    indices_.push_back(static_cast<int32_t>(tap.index));
  }
  fill_ = PlanesFill(copies_, {in_h_, in_w_}, step, pitch_, channel_stride_);
  const int64_t positions = conv.grid_h * conv.grid_w;
  if (wide) {
    grid_ = {conv.grid_h, conv.grid_w / kPlanesVector, pitch_, conv.grid_w, positions};
  }
  if (!wide || pitch_ == conv.grid_w) {
    grid_ = {ceil_div(positions, kPlanesVector), 1, kPlanesVector, kPlanesVector, positions};
  }
}

void PlanesInput::fill(const float* x, int64_t first, int64_t last, float* scratch) const {
  if (!in_place_) fill_.run(x, first, last, scratch);
}

}  // namespace espalier::detail
