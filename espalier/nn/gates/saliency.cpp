// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/saliency.h>

#include <algorithm>
#include <numeric>

#include <espalier/autograd/ops.h>
#include <espalier/nn/gates/kernels/plane_loops.h>

namespace espalier::nn {

Saliency::Saliency(const Options& options) : options_(options) {
  ESPALIER_CHECK(options.in_channels > 0 && options.out_channels > 0,
                 ValueError,
                 "Saliency: expects in_channels and out_channels > 0, got ",
                 options.in_channels,
                 " and ",
                 options.out_channels);
  weight = Parameter(Tensor::zeros({options.out_channels, options.in_channels}));
  bias = Parameter(Tensor::ones({options.out_channels}));
  kept_ = Tensor::scalar(static_cast<double>(options.out_channels), DType::I64);
}

void Saliency::visit(MemberVisitor& visitor) {
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
  visitor.buffer("kept", kept_);
}

std::string Saliency::describe() const {
  return cat("Saliency(", kept(), " of ", options_.out_channels, ")");
}

void Saliency::keep(int64_t channels) {
  ESPALIER_CHECK(channels >= 1 && channels <= options_.out_channels,
                 ValueError,
                 "Saliency: expects to keep 1..",
                 options_.out_channels,
                 " channels, got ",
                 channels);
  kept_.fill_(static_cast<double>(channels));
}

int64_t Saliency::kept() const {
  const int64_t channels = kept_.data<int64_t>()[0];
  ESPALIER_CHECK(channels >= 1 && channels <= options_.out_channels,
                 ValueError,
                 "Saliency: keeps 1..",
                 options_.out_channels,
                 " channels, but its buffer 'kept' holds ",
                 channels,
                 "; is that of another network?");
  return channels;
}

Decided Saliency::decide(const Variable& x) {
  const Variable means = mean(abs(x), {2, 3});
  const Variable g = relu(linear(means, weight.value, bias.value));
  return {.open = g * Variable(largest_in_rows(g.value(), kept())), .price = g};
}

std::optional<detail::ChannelGateParameters> Saliency::channel_rule() const {
  return detail::ChannelGateParameters{
      .phi = weight.value.value(), .rho = bias.value.value(), .kept = kept()};
}

DecisionKind saliency_decision() {
  return {.name = "saliency", .make = [](const DecisionPlace& place, const PartDescription&) {
            return std::make_shared<Saliency>(
                Saliency::Options{.in_channels = place.inputs, .out_channels = place.units});
          }};
}

Tensor largest_in_rows(const Tensor& g, int64_t k) {
  const Tensor plain = g.to(Layout::Nchw).contiguous();
  const int64_t rows = g.size(0);
  const int64_t size = g.size(1);
  Tensor out = Tensor::zeros(g.shape(), g.dtype());
  std::vector<int64_t> order(static_cast<size_t>(size));
  dispatch_floating(g.dtype(), "largest_in_rows", [&](auto zero) {
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
