// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/channel_gate.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include <espalier/autograd/ops.h>
#include <espalier/nn/gates/kernels/plane_loops.h>
#include <espalier/nn/layers/detail/layer.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {

ChannelGate::ChannelGate(const Options& options) : options_(options) {
  detail::check_positive(options.in_channels, "ChannelGate", "in_channels");
  detail::check_positive(options.out_channels, "ChannelGate", "out_channels");
  weight = Parameter(Tensor::zeros({options.out_channels, options.in_channels}));
  bias = Parameter(Tensor::ones({options.out_channels}));
  kept_ = Tensor::scalar(static_cast<double>(options.out_channels), DType::I64);
}

void ChannelGate::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
  visitor.buffer("kept", kept_);
}

std::string ChannelGate::describe() const {
  return cat("ChannelGate(", kept(), " of ", options_.out_channels, ")");
}

void ChannelGate::keep(int64_t channels) {
  ESPALIER_CHECK(channels >= 1 && channels <= options_.out_channels,
                 ValueError,
                 "ChannelGate: expects to keep 1..",
                 options_.out_channels,
                 " channels, got ",
                 channels);
  kept_.fill_(static_cast<double>(channels));
}

int64_t ChannelGate::kept() const {
  const int64_t channels = kept_.data<int64_t>()[0];
  ESPALIER_CHECK(channels >= 1 && channels <= options_.out_channels,
                 ValueError,
                 "ChannelGate: keeps 1..",
                 options_.out_channels,
                 " channels, but its buffer 'kept' holds ",
                 channels,
                 "; is that of another network?");
  return channels;
}

Variable ChannelGate::forward(const Variable& x) {
  const Variable means = mean(abs(x), {2, 3});
  saliency_ = relu(linear(means, weight.value, bias.value));
  return saliency_ * Variable(largest_in_rows(saliency_.value(), kept()));
}

Variable ChannelGate::conv2d(const Variable& x,
                             const Parameter& weight,
                             const Parameter& bias,
                             const Conv2dOptions& options) {
  skipped_ = skips(x) && options.groups == 1;
  if (skipped_) {
    return skip(x,
                weight.value.value(),
                bias.defined() ? bias.value.value() : Tensor(),
                conv2d_shape(x.shape(), weight.shape(), options, "ChannelGate"));
  }
  pi_ = forward(x);
  return espalier::conv2d(x, weight.value, bias.value, options, weight.sparsity());
}

Variable ChannelGate::take_decision(const Variable& y) {
  ESPALIER_CHECK(
      pi_.defined() && pi_.size(0) == y.size(0),
      ValueError,
      "ChannelGate: the batch norm ran without the convolution before it, which decides");
  return std::exchange(pi_, {});
}

Variable ChannelGate::boost(const Variable& y) {
  return y * reshape(take_decision(y), {y.size(0), y.size(1), 1, 1});
}

Variable ChannelGate::take_saliency() {
  return std::exchange(saliency_, {});
}

Tensor largest_in_rows(const Tensor& g, int64_t k) {
  const Tensor plain = g.to(Layout::Nchw).contiguous();
  const int64_t rows = g.size(0);
  const int64_t size = g.size(1);
  Tensor out = Tensor::zeros(g.shape(), g.dtype());
  std::vector<int64_t> order(static_cast<size_t>(size));
  dispatch_floating(g.dtype(), "ChannelGate", [&](auto zero) {
    using T = decltype(zero);
    for (int64_t n = 0; n < rows; ++n) {
      const T* values = plain.data<T>() + n * size;
      std::iota(order.begin(), order.end(), int64_t{0});
      std::partial_sort(order.begin(), order.begin() + k, order.end(), detail::by_saliency(values));
      for (int64_t i = 0; i < k; ++i) {
        out.data<T>()[n * size + order[static_cast<size_t>(i)]] = T{1};
      }
    }
  });
  return out.to(g.layout());
}

}  // namespace espalier::nn
