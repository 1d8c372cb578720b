// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/block_rule.h>

#include <algorithm>

#include <espalier/autograd/ops.h>

namespace espalier::nn {
namespace {

bool opens(float logit) {
  const Variable l(Tensor::from<float>({1}, {logit}));
  return step_ste(sigmoid(l) + -0.5).value().data<float>()[0] == 1.0F;
}

/// W x + b.
std::vector<double> affine(const Tensor& weight, const Tensor& bias, const std::vector<double>& x) {
  const std::vector<double> w = weight.to_vector<double>();
  std::vector<double> y = bias.to_vector<double>();
  for (size_t i = 0; i < w.size(); ++i) y[i / x.size()] += w[i] * x[i % x.size()];
  return y;
}

float find_least_open_logit() {
  float low = -1.0F;  // closed
  float high = 0.0F;  // open
  for (;;) {
    const float middle = 0.5F * (low + high);
    if (middle == low || middle == high) return high;
    (opens(middle) ? high : low) = middle;
  }
}

}  // namespace

std::vector<double> block_logits(const BlockRule& rule, const Tensor& x) {
  const std::vector<double> all = x.to(Layout::Nchw).to_vector<double>();
  const auto channels = static_cast<size_t>(x.size(1));
  const size_t plane = all.size() / static_cast<size_t>(x.size(0)) / channels;
  std::vector<double> out;
  for (size_t at = 0; at < all.size(); at += channels * plane) {
    std::vector<double> h(channels, 0.0);
    for (size_t i = 0; i < channels * plane; ++i) h[i / plane] += all[at + i];
    for (double& mean : h) mean /= static_cast<double>(plane);
    if (rule.hidden.defined()) {
      h = affine(rule.hidden, rule.hidden_bias, h);
      for (double& v : h) v = std::max(v, 0.0);
    }
    const std::vector<double> l = affine(rule.weight, rule.bias, h);
    out.push_back(l.size() == 2 ? l[1] - l[0] : l[0]);
  }
  return out;
}

float least_open_logit() {
  static const float least = find_least_open_logit();
  return least;
}

}  // namespace espalier::nn
