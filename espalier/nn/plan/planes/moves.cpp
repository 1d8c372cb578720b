// SPDX-License-Identifier: Apache-2.0
// Pools and copies on one sample.
#include <algorithm>
#include <cstring>
#include <limits>

#include <espalier/core/kernels/clones.h>
#include <espalier/nn/plan/planes/kernel.h>

namespace espalier::nn::plan {
namespace {

/// The larger one; a NaN wins.
ESPALIER_INLINE float larger(float a, float b) {
  return b > a || b != b ? b : a;
}

/// y = the largest of each column over the rows of a window.
ESPALIER_CLONES void max_of_rows(
    const float* x, int64_t width, const Window& rows, int64_t step, float* y) {
  std::copy_n(x + rows.begin * width, width, y);
  for (int64_t h = rows.begin + step; h < rows.end; h += step) {
    const float* row = x + h * width;
    for (int64_t w = 0; w < width; ++w) y[w] = larger(y[w], row[w]);
  }
}

/// How windows slide along a row with its padding.
struct ColumnWindows {
  int64_t count, kernel, stride, dilation;
};

/// The largest of each window; a constant stride makes vectors of it.
template <int64_t kStride>
ESPALIER_INLINE void max_of_columns(const float* x, const ColumnWindows& windows, float* y) {
  const int64_t stride = kStride > 0 ? kStride : windows.stride;
  for (int64_t q = 0; q < windows.count; ++q) y[q] = x[q * stride];
  for (int64_t t = 1; t < windows.kernel; ++t) {
    const float* from = x + t * windows.dilation;
    for (int64_t q = 0; q < windows.count; ++q) y[q] = larger(y[q], from[q * stride]);
  }
}
ESPALIER_CLONES void max_columns(const float* x, const ColumnWindows& windows, float* y) {
  if (windows.stride == 2) return max_of_columns<2>(x, windows, y);
  max_of_columns<0>(x, windows, y);
}

/// The same at once for windows of 2x2 that tile the plane, `cols` in a row.
ESPALIER_CLONES void max_pairs(const float* x, int64_t rows, int64_t cols, float* y) {
  for (int64_t p = 0; p < rows; ++p, x += 4 * cols, y += cols) {
    const float* below = x + 2 * cols;
    for (int64_t q = 0; q < cols; ++q) {
      y[q] = larger(larger(x[2 * q], x[2 * q + 1]), larger(below[2 * q], below[2 * q + 1]));
    }
  }
}

/// The sum of a run in eight chains, so that no add waits for the last one.
ESPALIER_INLINE float sum_of(const float* x, int64_t count) {
  constexpr int64_t kChains = 8;
  float sums[kChains] = {};
  int64_t i = 0;
  for (; i + kChains <= count; i += kChains) {
    for (int64_t j = 0; j < kChains; ++j) sums[j] += x[i + j];
  }
  for (; i < count; ++i) sums[0] += x[i];
  for (int64_t j = kChains / 2; j > 0; j /= 2) {
    for (int64_t k = 0; k < j; ++k) sums[k] += sums[k + j];
  }
  return sums[0];
}

ESPALIER_CLONES void mean_plane(const float* x,
                                int64_t width,
                                const PoolWindows& windows,
                                float* y) {
  for (const Window& rows : windows.rows) {
    for (const Window& cols : windows.cols) {
      const int64_t count = cols.end - cols.begin;
      float sum = 0.0f;
      if (count == width) {
        sum = sum_of(x + rows.begin * width, (rows.end - rows.begin) * width);
      } else {
        for (int64_t h = rows.begin; h < rows.end; ++h) {
          sum += sum_of(x + h * width + cols.begin, count);
        }
      }
      *y++ = sum * static_cast<float>(PoolWindows::share(rows, cols));
    }
  }
}

class PlanesPool : public PlanesKernel {
 public:
  PlanesPool(const Graph& graph, const Step& step)
      : input_(step.inputs[0]),
        output_(step.output),
        max_(step.kind == StepKind::MaxPool),
        windows_(pool_windows(graph, step)),
        in_(graph.value(input_).shape),
        rows_(static_cast<int64_t>(windows_.rows.size())),
        cols_(static_cast<int64_t>(windows_.cols.size())) {
    pairs_ = max_ && windows_.row_step == 1 && windows_.col_step == 1 && in_[1] == 2 * rows_ &&
             in_[2] == 2 * cols_ && in_pairs(windows_.rows) && in_pairs(windows_.cols);
    const PoolOptions& pool = step.pool;
    along_ = {.count = cols_,
              .kernel = pool.kernel.w,
              .stride = pool.stride.w > 0 ? pool.stride.w : pool.kernel.w,
              .dilation = pool.dilation.w};
    left_ = pool.padding.w;
    const int64_t reach = (cols_ - 1) * along_.stride + (along_.kernel - 1) * along_.dilation + 1;
    line_ = std::max(left_ + in_[2], reach);
  }

  int64_t run(const PlanesRun& run) const override {
    const float* x = run.at(input_);
    float* y = run.at(output_);
    const int64_t plane = in_[1] * in_[2];
    if (pairs_) {  // planes that follow each other are one plane of more rows
      max_pairs(x, in_[0] * rows_, cols_, y);
    } else if (max_) {
      max_planes(x, run.scratch, y);
    } else {
      for (int64_t c = 0; c < in_[0]; ++c) {
        mean_plane(x + c * plane, in_[2], windows_, y + c * rows_ * cols_);
      }
    }
    return 0;
  }
  int64_t scratch_floats() const override { return max_ && !pairs_ ? line_ : 0; }

 private:
  static bool in_pairs(const std::vector<Window>& windows) {
    int64_t next = 0;
    return std::all_of(windows.begin(), windows.end(), [&](const Window& w) {
      const bool follows = w.begin == next && w.end == next + 2;
      next = w.end;
      return follows;
    });
  }

  /// First over rows, then along them: `line` is a row with its padding.
  void max_planes(const float* x, float* line, float* y) const {
    std::fill_n(line, line_, -std::numeric_limits<float>::infinity());
    for (int64_t c = 0; c < in_[0]; ++c, x += in_[1] * in_[2]) {
      for (const Window& rows : windows_.rows) {
        max_of_rows(x, in_[2], rows, windows_.row_step, line + left_);
        max_columns(line, along_, y);
        y += cols_;
      }
    }
  }

  int input_, output_;
  bool max_;
  PoolWindows windows_;
  Shape in_;
  int64_t rows_, cols_;
  bool pairs_;
  ColumnWindows along_{};
  int64_t left_, line_;  // padding before a row, and floats of it with all that windows reach
};

class PlanesCopySteps : public PlanesKernel {
 public:
  PlanesCopySteps(const Graph& graph, const Step& step)
      : inputs_(step.inputs),
        output_(step.output),
        size_(graph.value(step.output).shape.numel()),
        runs_(step.runs) {}

  int64_t run(const PlanesRun& run) const override {
    float* y = run.at(output_);
    int64_t next = 0;
    for (const CopyRun& part : runs_) {
      std::fill(y + next, y + part.to, 0.0f);
      next = part.to + part.count;
      const float* x = run.at(inputs_[static_cast<size_t>(part.input)]) + part.from;
      if (part.step == 1) {
        std::memcpy(y + part.to, x, static_cast<size_t>(part.count) * sizeof(float));
        continue;
      }
      for (int64_t i = 0; i < part.count; ++i) y[part.to + i] = x[i * part.step];
    }
    std::fill(y + next, y + size_, 0.0f);
    return 0;
  }

 private:
  std::vector<int> inputs_;
  int output_;
  int64_t size_;
  std::vector<CopyRun> runs_;
};

}  // namespace

std::unique_ptr<PlanesKernel> make_planes_pool(const Graph& graph, const Step& step) {
  return std::make_unique<PlanesPool>(graph, step);
}

std::unique_ptr<PlanesKernel> make_planes_copy(const Graph& graph, const Step& step) {
  return std::make_unique<PlanesCopySteps>(graph, step);
}

}  // namespace espalier::nn::plan
