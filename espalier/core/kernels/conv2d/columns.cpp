// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/columns.h>

#include <algorithm>
#include <vector>

#include <espalier/core/kernels/conv2d/tap_convolution.h>
#include <espalier/core/kernels/vector8.h>
#include <espalier/core/parallel.h>

namespace espalier::detail {
namespace {

constexpr int64_t kRows = 4;            // of a tile of sums
constexpr int64_t kColumns = 16;        // of a tile: two vectors of AVX-512
constexpr int64_t kDepth = 128;         // summed at a time: a panel of 16 KiB stays in L1
constexpr int64_t kRowsOfTask = 64;     // a multiple of kRows
constexpr int64_t kColumnsOfTask = 64;  // a multiple of kColumns
constexpr int64_t kPlanes = 16;         // copied by one task

int64_t round_up(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

/// sums[4][16] = sum over d of a[d][4] * b[d][16].
ESPALIER_CLONES void tile_of_sums(int64_t depth, const double* a, const double* b, double* sums) {
  using V = Vector8<double>;
  V acc[kRows][2] = {};
  for (int64_t d = 0; d < depth; ++d) {
    const V* column = reinterpret_cast<const V*>(b + d * kColumns);
    for (int64_t row = 0; row < kRows; ++row) {
      acc[row][0] += a[d * kRows + row] * column[0];
      acc[row][1] += a[d * kRows + row] * column[1];
    }
  }
  V* out = reinterpret_cast<V*>(sums);
  for (int64_t row = 0; row < kRows; ++row) {
    out[row * 2] = acc[row][0];
    out[row * 2 + 1] = acc[row][1];
  }
}

/// A matrix (rows, depth) as slabs of four rows: [row / 4][depth][row % 4], zeros behind the last.
class Slabs {
 public:
  /// Of values at(row, d).
  template <class At>
  Slabs(int64_t rows, int64_t depth, At at)
      : depth_(depth), values_(static_cast<size_t>(round_up(rows, kRows) * depth)) {
    parallel_for(round_up(rows, kRows) / kRows, 4, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin * kRows; row < std::min(rows, end * kRows); ++row) {
        double* slab = values_.data() + row / kRows * kRows * depth + row % kRows;
        for (int64_t d = 0; d < depth; ++d) slab[d * kRows] = at(row, d);
      }
    });
  }
  const double* at(int64_t row, int64_t d) const {
    return values_.data() + row * depth_ + d * kRows;
  }

 private:
  int64_t depth_;
  std::vector<double> values_;
};

/// The input of a tap convolution with zeros around it: every tap of every position is inside.
class PaddedInput {
 public:
  PaddedInput(const TapConvolution& conv, int64_t batch, const double* x)
      : conv_(conv),
        channels_(conv.groups * conv.in_channels),
        window_(conv.taps),
        height_((conv.grid_h - 1) * conv.in_step.h + window_.height()),
        width_((conv.grid_w - 1) * conv.in_step.w + window_.width()),
        values_(static_cast<size_t>(batch * channels_ * plane())) {
    const int64_t first = std::max<int64_t>(0, window_.left);
    const int64_t last = std::min(conv.in_w, window_.left + width_);
    if (first >= last) return;
    parallel_for(batch * channels_, kPlanes, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin * height_; row < end * height_; ++row) {
        const int64_t from = row % height_ + window_.top;
        if (from < 0 || from >= conv.in_h) continue;
        const double* in = x + (row / height_ * conv.in_h + from) * conv.in_w;
        std::copy(in + first, in + last, values_.data() + row * width_ + first - window_.left);
      }
    });
  }

  int64_t plane() const { return height_ * width_; }
  /// Where the values of group `group` around position `index` start; (sample, row, column) is one
  /// index.
  const double* around(int64_t group, int64_t index) const {
    const int64_t position = index % (conv_.grid_h * conv_.grid_w);
    const int64_t sample = index / (conv_.grid_h * conv_.grid_w);
    return values_.data() + (sample * channels_ + group * conv_.in_channels) * plane() +
           position / conv_.grid_w * conv_.in_step.h * width_ +
           position % conv_.grid_w * conv_.in_step.w;
  }
  /// From there to the value that weight number d = (channel, tap) meets.
  std::vector<int64_t> offsets() const {
    std::vector<int64_t> offsets;
    for (int64_t c = 0; c < conv_.in_channels; ++c) {
      for (const Tap& tap : conv_.taps) {
        offsets.push_back(c * plane() + (tap.dh - window_.top) * width_ + tap.dw - window_.left);
      }
    }
    return offsets;
  }

 private:
  const TapConvolution& conv_;
  int64_t channels_;
  Window window_;
  int64_t height_, width_;
  std::vector<double> values_;
};

/// out[row * row_stride + column_offsets[column]] += sum over d of a(row, d) * b(d, column), where
/// gather(begin, end, column, panel) writes b of up to 16 columns, [end - begin][16].
template <class Gather>
void add_product(int64_t rows,
                 int64_t depth,
                 const Slabs& a,
                 Gather gather,
                 double* out,
                 int64_t row_stride,
                 const std::vector<int64_t>& column_offsets) {
  const auto columns = static_cast<int64_t>(column_offsets.size());
  const int64_t row_tasks = (rows + kRowsOfTask - 1) / kRowsOfTask;
  const int64_t column_tasks = (columns + kColumnsOfTask - 1) / kColumnsOfTask;
  parallel_for(row_tasks * column_tasks, 1, [&](int64_t begin, int64_t end) {
    alignas(64) double panel[kDepth * kColumns];
    alignas(64) double sums[kRows * kColumns];
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first_row = task % row_tasks * kRowsOfTask;
      const int64_t last_row = std::min(rows, first_row + kRowsOfTask);
      const int64_t first_column = task / row_tasks * kColumnsOfTask;
      const int64_t last_column = std::min(columns, first_column + kColumnsOfTask);
      for (int64_t column = first_column; column < last_column; column += kColumns) {
        const int64_t width = std::min(kColumns, last_column - column);
        std::fill_n(panel, kDepth * kColumns, 0.0);
        for (int64_t d = 0; d < depth; d += kDepth) {
          const int64_t length = std::min(kDepth, depth - d);
          gather(d, d + length, column, width, panel);
          for (int64_t row = first_row; row < last_row; row += kRows) {
            tile_of_sums(length, a.at(row, d), panel, sums);
            for (int64_t r = 0; r < std::min(kRows, last_row - row); ++r) {
              double* at = out + (row + r) * row_stride;
              for (int64_t i = 0; i < width; ++i) {
                at[column_offsets[static_cast<size_t>(column + i)]] += sums[r * kColumns + i];
              }
            }
          }
        }
      }
    }
  });
}

/// Element strides of a weight (K, C/groups, R*S), seen from a tap convolution.
struct WeightStrides {
  int64_t group, out, in;
};

/// y += conv(x, weight): rows are output channels, columns positions, the depth (channel, tap).
void add_tap_convolution(const TapConvolution& conv,
                         int64_t batch,
                         const double* x,
                         const double* weight,
                         const WeightStrides& strides,
                         double* y) {
  const PaddedInput input(conv, batch, x);
  const std::vector<int64_t> taps = input.offsets();
  const auto depth = static_cast<int64_t>(taps.size());
  const auto taps_of_channel = static_cast<int64_t>(conv.taps.size());
  const int64_t positions = conv.grid_h * conv.grid_w;
  const int64_t plane = conv.plane_h * conv.plane_w;
  std::vector<int64_t> places(static_cast<size_t>(batch * positions));
  for (int64_t i = 0; i < batch * positions; ++i) {
    const int64_t row = i % positions / conv.grid_w * conv.out_step.h + conv.out_first.h;
    const int64_t column = i % conv.grid_w * conv.out_step.w + conv.out_first.w;
    places[static_cast<size_t>(i)] =
        i / positions * conv.groups * conv.out_channels * plane + row * conv.plane_w + column;
  }
  for (int64_t group = 0; group < conv.groups; ++group) {
    const Slabs a(conv.out_channels, depth, [&](int64_t row, int64_t d) {
      return weight[group * strides.group + row * strides.out + d / taps_of_channel * strides.in +
                    conv.taps[static_cast<size_t>(d % taps_of_channel)].index];
    });
    const auto gather =
        [&](int64_t begin, int64_t end, int64_t first, int64_t width, double* panel) {
          const double* from[kColumns];
          for (int64_t i = 0; i < width; ++i) from[i] = input.around(group, first + i);
          const bool run = from[width - 1] == from[0] + width - 1;
          for (int64_t d = begin; d < end; ++d, panel += kColumns) {
            const int64_t tap = taps[static_cast<size_t>(d)];
            if (run && width == kColumns) {
              std::copy_n(from[0] + tap, kColumns, panel);
            } else {
              for (int64_t i = 0; i < width; ++i) panel[i] = from[i][tap];
            }
          }
        };
    add_product(
        conv.out_channels, depth, a, gather, y + group * conv.out_channels * plane, plane, places);
  }
}

}  // namespace

void conv2d_forward_columns(const Conv2dShape& shape,
                            const Tensor& x,
                            const Tensor& weight,
                            const Tensor& bias,
                            Tensor& y) {
  double* out = y.data<double>();
  const int64_t plane = shape.p * shape.q;
  for (int64_t i = 0; i < shape.n * shape.k; ++i) {
    std::fill_n(out + i * plane, plane, bias.defined() ? bias.data<double>()[i % shape.k] : 0.0);
  }
  const int64_t filter = shape.c / shape.options.groups * shape.r * shape.s;
  add_tap_convolution(
      forward_taps(shape),
      shape.n,
      x.data<double>(),
      weight.data<double>(),
      {.group = shape.k / shape.options.groups * filter, .out = filter, .in = shape.r * shape.s},
      out);
}

void conv2d_backward_data_columns(const Conv2dShape& shape,
                                  const Tensor& dy,
                                  const Tensor& weight,
                                  Tensor& dx) {
  dx.fill_(0.0);
  const int64_t filter = shape.c / shape.options.groups * shape.r * shape.s;
  for (const TapConvolution& conv : backward_data_taps(shape).classes) {
    add_tap_convolution(
        conv,
        shape.n,
        dy.data<double>(),
        weight.data<double>(),
        {.group = shape.k / shape.options.groups * filter, .out = shape.r * shape.s, .in = filter},
        dx.data<double>());
  }
}

void conv2d_backward_weight_columns(const Conv2dShape& shape,
                                    const Tensor& x,
                                    const Tensor& dy,
                                    Tensor& dweight) {
  // Rows are output channels, columns (channel, tap), the depth positions of all samples.
  dweight.fill_(0.0);
  const TapConvolution conv = forward_taps(shape);
  const PaddedInput input(conv, shape.n, x.data<double>());
  const std::vector<int64_t> taps = input.offsets();
  const int64_t plane = shape.p * shape.q;
  const auto filter = static_cast<int64_t>(taps.size());
  std::vector<int64_t> places(taps.size());
  for (int64_t i = 0; i < filter; ++i) places[static_cast<size_t>(i)] = i;
  for (int64_t group = 0; group < conv.groups; ++group) {
    const int64_t first_channel = group * conv.out_channels;
    const double* from = dy.data<double>();
    const Slabs a(conv.out_channels, shape.n * plane, [&](int64_t row, int64_t d) {
      return from[(d / plane * shape.k + first_channel + row) * plane + d % plane];
    });
    const auto gather =
        [&](int64_t begin, int64_t end, int64_t first, int64_t width, double* panel) {
          for (int64_t d = begin; d < end; ++d, panel += kColumns) {
            const double* around = input.around(group, d);
            const int64_t* at = taps.data() + first;
            for (int64_t i = 0; i < width; ++i) panel[i] = around[at[i]];
          }
        };
    add_product(conv.out_channels,
                shape.n * plane,
                a,
                gather,
                dweight.data<double>() + first_channel * filter,
                filter,
                places);
  }
}

}  // namespace espalier::detail
