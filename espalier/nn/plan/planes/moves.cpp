// SPDX-License-Identifier: Apache-2.0
// Pools and copies on one sample.
#include <cstring>

#include <espalier/core/kernels/clones.h>
#include <espalier/nn/plan/planes/kernel.h>

namespace espalier::nn::plan {
namespace {

/// The larger one; a NaN wins.
ESPALIER_INLINE float larger(float a, float b) {
  return b > a || b != b ? b : a;
}

void max_plane(const float* x, int64_t width, const PoolWindows& windows, float* y) {
  for (const Window& rows : windows.rows) {
    for (const Window& cols : windows.cols) {
      float most = x[rows.begin * width + cols.begin];
      for (int64_t h = rows.begin; h < rows.end; h += windows.row_step) {
        for (int64_t w = cols.begin; w < cols.end; w += windows.col_step) {
          most = larger(most, x[h * width + w]);
        }
      }
      *y++ = most;
    }
  }
}

/// The same for windows of 2x2 that tile the plane, `cols` in a row.
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
  }

  int64_t run(const PlanesRun& run) const override {
    const float* x = run.at(input_);
    float* y = run.at(output_);
    // Planes that follow each other are one plane of more rows.
    if (pairs_) max_pairs(x, in_[0] * rows_, cols_, y);
    for (int64_t c = 0; !pairs_ && c < in_[0]; ++c) {
      (max_ ? max_plane : mean_plane)(
          x + c * in_[1] * in_[2], in_[2], windows_, y + c * rows_ * cols_);
    }
    return 0;
  }

 private:
  static bool in_pairs(const std::vector<Window>& windows) {
    int64_t next = 0;
    return std::all_of(windows.begin(), windows.end(), [&](const Window& w) {
      const bool follows = w.begin == next && w.end == next + 2;
      next = w.end;
      return follows;
    });
  }

  int input_, output_;
  bool max_;
  PoolWindows windows_;
  Shape in_;
  int64_t rows_, cols_;
  bool pairs_;
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
