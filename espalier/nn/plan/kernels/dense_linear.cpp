// SPDX-License-Identifier: Apache-2.0
// Dense linear layer (and convolution of planes of one position) with weights packed once. Tiles
// are outputs x blocks of samples, as in core/kernels/linear/linear.cpp.
#include <espalier/core/kernels/conv2d/micro.h>
#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/nn/plan/kernels/product.h>

namespace espalier::nn::plan {
namespace {

using espalier::detail::ceil_div;
using espalier::detail::kTileChannels;

// Inputs whose vectors of a tile stay in L1, as in linear.cpp.
constexpr int64_t kInputBlock = 64;

class DenseLinear : public Product {
 public:
  DenseLinear(const Graph& graph, const Step& step) : Product(graph, step) {
    packed_ = Tensor::empty({step.weight.numel()});
    float* out = packed_.data<float>();
    for (int64_t first = 0; first < shape_.k; first += kTileChannels) {
      const int64_t last = std::min<int64_t>(shape_.k, first + kTileChannels);
      for (int64_t i = 0; i < shape_.c; ++i) {
        for (int64_t o = first; o < last; ++o) {
          *out++ = step.weight.data<float>()[o * shape_.c + i];
        }
      }
    }
  }

  void run(const Run& run) const override {
    const float* x = run.read(x_);
    float* y = run.write(y_);
    const float* added = residual(run);
    const int64_t no_tap = 0;
    for_tasks(run, ceil_div(shape_.k, kTileChannels), [&](int64_t task, float*) {
      const int64_t first = task * kTileChannels;
      const int64_t b = std::min<int64_t>(kTileChannels, shape_.k - first);
      float start[kTileChannels] = {};
      if (bias() != nullptr) std::copy_n(bias() + first, b, start);
      for (int64_t i = 0; i < shape_.c; i += kInputBlock) {
        espalier::detail::TileJob job;
        job.x = x + i * kLanes;
        job.x_channel_stride = kLanes;
        job.x_step = shape_.c * kLanes;
        job.tap_offsets = &no_tap;
        job.taps = 1;
        job.channels = std::min(kInputBlock, shape_.c - i);
        job.weights = packed_.data<float>() + first * shape_.c + i * b;
        job.weight_channel_stride = b;
        job.y = y + first * kLanes;
        job.y_channel_stride = kLanes;
        job.y_step = shape_.k * kLanes;
        job.start = i == 0 ? start : nullptr;
        kernels_.row(job, static_cast<int>(b), run.blocks);
      }
      if (!epilogue_.any()) return;
      for (int64_t block = 0; block < run.blocks; ++block) {
        const int64_t at = (block * shape_.k + first) * kLanes;
        finish(epilogue_, added == nullptr ? nullptr : added + at, 1, 0, b, y + at);
      }
    });
  }

  int64_t nbytes() const override { return packed_.nbytes() + bias_bytes(); }
  int64_t macs() const override { return shape_.macs(); }
  std::string_view format() const override { return "dense"; }

 private:
  Tensor packed_;
  espalier::detail::ConvMicroKernels kernels_ = espalier::detail::conv_micro_kernels();
};

}  // namespace

std::unique_ptr<Kernel> make_dense_linear(const Graph& graph, const Step& step) {
  return std::make_unique<DenseLinear>(graph, step);
}

}  // namespace espalier::nn::plan
