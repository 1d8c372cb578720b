// SPDX-License-Identifier: Apache-2.0
// Pools and copies: no arithmetic but comparisons and means.
#include <cstring>

#include <espalier/core/kernels/clones.h>
#include <espalier/core/kernels/vector8.h>
#include <espalier/nn/plan/kernels/kernel.h>

namespace espalier::nn::plan {
namespace {

using V = Vector8<float>;
constexpr int64_t kHalves = 2;

/// One plane. The largest of each window, or its mean; a NaN wins.
template <bool kMax>
ESPALIER_INLINE void pool_plane(const float* x,
                                int64_t width,
                                const PoolWindows& windows,
                                float* y) {
  const V* vx = reinterpret_cast<const V*>(x);
  V* vy = reinterpret_cast<V*>(y);
  for (const Window& rows : windows.rows) {
    for (const Window& cols : windows.cols) {
      const auto factor = static_cast<float>(PoolWindows::share(rows, cols));
      for (int64_t half = 0; half < kHalves; ++half) {
        V sum = kMax ? vx[(rows.begin * width + cols.begin) * kHalves + half] : V{};
        for (int64_t h = rows.begin; h < rows.end; h += windows.row_step) {
          for (int64_t w = cols.begin; w < cols.end; w += windows.col_step) {
            const V value = vx[(h * width + w) * kHalves + half];
            if constexpr (kMax) {
              sum = (value > sum) | (value != value) ? value : sum;
            } else {
              sum += value;
            }
          }
        }
        *vy++ = kMax ? sum : sum * factor;
      }
    }
  }
}

ESPALIER_CLONES void max_plane(const float* x, int64_t width, const PoolWindows& w, float* y) {
  pool_plane<true>(x, width, w, y);
}
ESPALIER_CLONES void mean_plane(const float* x, int64_t width, const PoolWindows& w, float* y) {
  pool_plane<false>(x, width, w, y);
}

class Pool : public Kernel {
 public:
  Pool(const Graph& graph, const Step& step)
      : input_(step.inputs[0]),
        output_(step.output),
        max_(step.kind == StepKind::MaxPool),
        windows_(pool_windows(graph, step)),
        in_(graph.value(input_).shape) {
    out_plane_ = static_cast<int64_t>(windows_.rows.size() * windows_.cols.size()) * kLanes;
  }

  void run(const Run& run) const override {
    const float* x = run.read(input_);
    float* y = run.write(output_);
    const int64_t in_plane = in_[1] * in_[2] * kLanes;
    for_tasks(run, run.blocks * in_[0], [&](int64_t task, float*) {
      (max_ ? max_plane : mean_plane)(x + task * in_plane, in_[2], windows_, y + task * out_plane_);
    });
  }

 private:
  int input_, output_;
  bool max_;
  PoolWindows windows_;
  Shape in_;
  int64_t out_plane_;
};

class Copy : public Kernel {
 public:
  Copy(const Graph& graph, const Step& step)
      : inputs_(step.inputs),
        output_(step.output),
        out_size_(graph.value(step.output).shape.numel()),
        runs_(step.runs) {
    for (const int input : inputs_) in_sizes_.push_back(graph.value(input).shape.numel());
  }

  void run(const Run& run) const override {
    for_tasks(run, run.blocks, [&](int64_t block, float*) {
      float* y = run.write(output_) + block * out_size_ * kLanes;
      int64_t next = 0;
      for (const CopyRun& part : runs_) {
        zero(y, next, part.to);
        next = part.to + part.count;
        const auto input = static_cast<size_t>(part.input);
        const float* x = run.read(inputs_[input]) + (block * in_sizes_[input] + part.from) * kLanes;
        if (part.step == 1) {
          copy(x, y + part.to * kLanes, part.count);
          continue;
        }
        for (int64_t i = 0; i < part.count; ++i) {
          copy(x + i * part.step * kLanes, y + (part.to + i) * kLanes, 1);
        }
      }
      zero(y, next, out_size_);
    });
  }
  int64_t nbytes() const override { return static_cast<int64_t>(runs_.size() * sizeof(CopyRun)); }

 private:
  static void copy(const float* from, float* to, int64_t positions) {
    std::memcpy(to, from, static_cast<size_t>(positions * kLanes) * sizeof(float));
  }
  static void zero(float* y, int64_t begin, int64_t end) {
    std::memset(y + begin * kLanes, 0, static_cast<size_t>((end - begin) * kLanes) * sizeof(float));
  }

  std::vector<int> inputs_;
  int output_;
  int64_t out_size_;
  std::vector<int64_t> in_sizes_;
  std::vector<CopyRun> runs_;
};

}  // namespace

std::unique_ptr<Kernel> make_pool(const Graph& graph, const Step& step) {
  return std::make_unique<Pool>(graph, step);
}

std::unique_ptr<Kernel> make_copy(const Graph& graph, const Step& step) {
  return std::make_unique<Copy>(graph, step);
}

}  // namespace espalier::nn::plan
