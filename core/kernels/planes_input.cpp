// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/planes_input.h>

#include <algorithm>
#include <cstring>

#include <espalier/core/kernels/conv2d_padded.h>
#include <espalier/core/kernels/conv2d_planes_micro.h>

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
    : in_h_(conv.in_h), in_w_(conv.in_w), step_(conv.in_step) {
  const bool wide = conv.grid_w % kPlanesVector == 0;
  const bool by_column = shifted || !wide;
  std::vector<Tap> taps;
  for (const Tap& tap : conv.taps) {
    if (meets(tap.dh, step_.h, conv.grid_h, in_h_) && meets(tap.dw, step_.w, conv.grid_w, in_w_)) {
      taps.push_back(tap);
    }
  }
  // A convolution that meets nothing but padding keeps one tap, on zeros.
  if (taps.empty()) taps.push_back(conv.taps.front());
  const auto column_of = [&](const Tap& tap) {
    return by_column ? tap.dw : tap.dw - floor_div(tap.dw, step_.w) * step_.w;
  };
  const auto phase_of = [&](const Tap& tap) {
    return tap.dh - floor_div(tap.dh, step_.h) * step_.h;
  };
  // The reach of the columns of any copy, in steps from its own `left`.
  int64_t least = 0;
  int64_t most = 0;
  for (const Tap& tap : taps) {
    const int64_t steps = (tap.dw - column_of(tap)) / step_.w;
    least = &tap == taps.data() ? steps : std::min(least, steps);
    most = &tap == taps.data() ? steps : std::max(most, steps);
  }
  pitch_ = conv.grid_w + most - least;
  const auto find = [&](const Tap& tap) {
    const int64_t left = column_of(tap) + least * step_.w;
    return std::find_if(copies_.begin(), copies_.end(), [&](const Copy& copy) {
      return copy.phase == phase_of(tap) && copy.left == left;
    });
  };
  for (const Tap& tap : taps) {
    const int64_t row = floor_div(tap.dh, step_.h);
    const auto found = find(tap);
    if (found == copies_.end()) {
      copies_.push_back({phase_of(tap), row, conv.grid_h, column_of(tap) + least * step_.w, 0, {}});
    } else {
      const int64_t end = std::max(found->first + found->rows, row + conv.grid_h);
      found->first = std::min(found->first, row);
      found->rows = end - found->first;
    }
  }
  in_place_ = copies_.size() == 1 && step_ == Pair(1) && copies_[0].left == 0 &&
              copies_[0].first == 0 && copies_[0].rows == in_h_ && pitch_ == in_w_;
  lines_ = step_ == Pair(1) && by_column && pitch_ == in_w_ &&
           std::all_of(copies_.begin(), copies_.end(), [](const Copy& copy) {
             return copy.left >= -kPlanesSlack && copy.left <= kPlanesSlack;
           });
  for (Copy& copy : copies_) {
    copy.at = channel_stride_;
    channel_stride_ += copy.rows * pitch_;
    if (!lines_) continue;
    copy.inside.resize(static_cast<size_t>(in_h_ * in_w_));
    for (int64_t i = 0; i < in_h_ * in_w_; ++i) {
      const int64_t col = i % in_w_ + copy.left;
      copy.inside[static_cast<size_t>(i)] = col >= 0 && col < in_w_ ? ~uint32_t{0} : 0;
    }
  }
  // Channels begin where lines of the cache do, as far as that does not cost more than it gives.
  if (!in_place_ && pitch_ >= 8) {
    channel_stride_ = ceil_div(channel_stride_, kPlanesVector) * kPlanesVector;
  }
  for (const Tap& tap : taps) {
    const Copy& copy = *find(tap);
    const int64_t row = floor_div(tap.dh, step_.h) - copy.first;
    const int64_t col = (tap.dw - column_of(tap)) / step_.w - least;
    offsets_.push_back(static_cast<int32_t>(copy.at + row * pitch_ + col));
    indices_.push_back(static_cast<int32_t>(tap.index));
  }
  const int64_t positions = conv.grid_h * conv.grid_w;
  if (wide) {
    grid_ = {conv.grid_h, conv.grid_w / kPlanesVector, pitch_, conv.grid_w, positions};
  }
  if (!wide || pitch_ == conv.grid_w) {
    grid_ = {ceil_div(positions, kPlanesVector), 1, kPlanesVector, kPlanesVector, positions};
  }
}

void PlanesInput::fill_rows(const Copy& copy, const float* x, float* out) const {
  // Columns of the copy that exist in x.
  const int64_t begin =
      std::clamp<int64_t>(ceil_div(std::max<int64_t>(0, -copy.left), step_.w), 0, pitch_);
  const int64_t end = std::clamp<int64_t>(
      copy.left >= in_w_ ? 0 : (in_w_ - 1 - copy.left) / step_.w + 1, begin, pitch_);
  for (int64_t j = 0; j < copy.rows; ++j, out += pitch_) {
    const int64_t row = (j + copy.first) * step_.h + copy.phase;
    if (row < 0 || row >= in_h_) {
      std::fill_n(out, pitch_, 0.0f);
      continue;
    }
    const float* from = x + row * in_w_ + copy.left;
    std::fill_n(out, begin, 0.0f);
    if (step_.w == 1) {
      std::memcpy(out + begin, from + begin, static_cast<size_t>(end - begin) * sizeof(float));
    } else {
      for (int64_t i = begin; i < end; ++i) out[i] = from[i * step_.w];
    }
    std::fill_n(out + end, pitch_ - end, 0.0f);
  }
}

void PlanesInput::fill(const float* x, int64_t c, float* scratch) const {
  if (in_place_) return;
  const int64_t plane = in_h_ * in_w_;
  x += c * plane;
  for (const Copy& copy : copies_) {
    float* out = scratch + c * channel_stride_ + copy.at;
    if (!lines_) {
      fill_rows(copy, x, out);
      continue;
    }
    // Rows above and below are zero, those between one run under the mask.
    const int64_t above = std::clamp<int64_t>(-copy.first, 0, copy.rows);
    const int64_t begin = std::max<int64_t>(0, copy.first);
    const int64_t count = std::clamp<int64_t>(copy.rows - above, 0, in_h_ - begin);
    for (int64_t i = 0; i < above * pitch_; ++i) out[i] = 0.0f;
    planes_kernels().masked_copy(x + begin * in_w_ + copy.left,
                                 copy.inside.data() + begin * in_w_,
                                 count * in_w_,
                                 out + above * pitch_);
    for (int64_t i = (above + count) * pitch_; i < copy.rows * pitch_; ++i) out[i] = 0.0f;
  }
}

}  // namespace espalier::detail
