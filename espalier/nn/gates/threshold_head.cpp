// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/threshold_head.h>

#include <algorithm>
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {
namespace {

constexpr double kAllOpen = -1e4;

}  // namespace

ThresholdHead::ThresholdHead(const Options& options) : options_(options) {
  ESPALIER_CHECK(options.inputs > 0 && options.units > 0 && options.squeeze > 0,
                 ValueError,
                 "ThresholdHead: expects inputs, units and squeeze > 0, got ",
                 options.inputs,
                 ", ",
                 options.units,
                 " and ",
                 options.squeeze);
  const int64_t inner = std::max<int64_t>(options.inputs / options.squeeze, 1);
  squeezed = Parameter(Tensor::empty({inner, options.inputs}));
  weight = Parameter(Tensor::empty({options.units, inner}));
  bias = Parameter(Tensor::empty({options.units}));
  threshold_ = Tensor::scalar(kAllOpen, DType::F64);
  sums_ = Tensor::zeros({options.units}, DType::F64);
  seen_ = Tensor::scalar(0.0, DType::F64);
  losses_ = Tensor::scalar(0.0, DType::F64);
  last_loss_ = Tensor::scalar(0.0, DType::F64);
  ThresholdHead::reset_parameters(default_init_rng);
}

void ThresholdHead::visit(MemberVisitor& visitor) {
  visitor.parameter("squeezed", squeezed);
  visitor.parameter("weight", weight);
  visitor.parameter("bias", bias);
  visitor.buffer("threshold", threshold_);
  visitor.buffer("sums", sums_);
  visitor.buffer("seen", seen_);
  visitor.buffer("losses", losses_);
  visitor.buffer("last_loss", last_loss_);
}

std::string ThresholdHead::describe() const {
  return cat(
      "ThresholdHead(", options_.inputs, ", ", squeezed.shape()[0], ", ", options_.units, ")");
}

void ThresholdHead::reset_parameters(const InitRng& rng) {
  constexpr double kDeviation = 0.01;
  init::normal(
      squeezed, rng("squeezed"), 0.0, std::sqrt(2.0 / static_cast<double>(options_.inputs)));
  init::normal(weight, rng("weight"), 0.0, kDeviation);
  init::constant(bias, 1.0);
}

std::map<std::string, double> ThresholdHead::settings() const {
  return {{"squeeze", static_cast<double>(options_.squeeze)}};
}

Decided ThresholdHead::decide(const Variable& x) {
  const Variable pi =
      relu(linear(relu(linear(mean(x, {2, 3}), squeezed.value)), weight.value, bias.value));
  const Tensor values = pi.value().to(Layout::Nchw).contiguous();
  const double least = threshold();
  Tensor reached = Tensor::empty(values.shape(), values.dtype());
  const int64_t units = options_.units;
  dispatch_floating(values.dtype(), "ThresholdHead", [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < values.numel(); ++i) {
      const T value = values.data<T>()[i];
      reached.data<T>()[i] = static_cast<double>(value) >= least ? T{1} : T{0};
      if (training()) sums_.data<double>()[i % units] += static_cast<double>(value);
    }
  });
  if (training()) seen_.data<double>()[0] += static_cast<double>(values.size(0));
  return {.open = pi * Variable(reached.to(pi.layout())), .price = pi};
}

Variable ThresholdHead::look(const Variable& y) {
  return mean(relu(y), {2, 3});
}

void ThresholdHead::add_loss(double loss, int64_t samples) {
  losses_.data<double>()[0] += loss * static_cast<double>(samples);
}

void ThresholdHead::end_epoch(int64_t kept) {
  ESPALIER_CHECK(kept >= 1 && kept <= options_.units,
                 ValueError,
                 "ThresholdHead: expects to keep 1..",
                 options_.units,
                 " channels, got ",
                 kept);
  const double seen = seen_.item();
  if (seen == 0.0) return;
  std::vector<double> means = sums_.to_vector<double>();
  std::ranges::sort(means, std::greater<>());
  threshold_.fill_(means[static_cast<size_t>(kept - 1)] / seen);
  last_loss_.fill_(losses_.item() / seen);
  sums_.fill_(0.0);
  seen_.fill_(0.0);
  losses_.fill_(0.0);
}

DecisionKind threshold_head_decision() {
  return {.name = "threshold-head",
          .make = [](const DecisionPlace& place, const PartDescription& description) {
            constexpr int64_t kMost = 1 << 20;
            return std::make_shared<ThresholdHead>(
                ThresholdHead::Options{.inputs = place.inputs,
                                       .units = place.units,
                                       .squeeze = description.whole("squeeze", 1, kMost)});
          }};
}

}  // namespace espalier::nn
