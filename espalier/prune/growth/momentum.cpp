// SPDX-License-Identifier: Apache-2.0
/// Growth by momentum: |v|, v <- decay v + G with G = dL/d(m*w) of every step, at removed places
/// too.
///
/// Source: Dettmers, Zettlemoyer, arXiv 1907.04840, and the published code's rule for Adam, v over
/// the root of the mean of G^2.
#include <cmath>

#include <espalier/prune/growth/growth.h>

namespace espalier::prune {
namespace {

constexpr double kSmall = 1e-8;
const std::string kFirst = "first.";
const std::string kSecond = "second.";

class MomentumGrowth : public Growth {
 public:
  explicit MomentumGrowth(const MomentumOptions& options) : options_(options) {
    ESPALIER_CHECK(options.decay >= 0.0 && options.decay < 1.0 && options.second >= 0.0 &&
                       options.second < 1.0,
                   ValueError,
                   "momentum growth: expects decays in 0 .. 1 (1 excluded), got ",
                   options.decay,
                   " and ",
                   options.second);
  }
  bool may_grow_dropped() const override { return options_.dropped == JustDropped::MayReturn; }
  bool observes() const override { return true; }

  void observe(nn::TrainState& state) override {
    for (const nn::NamedParameter& weight : prunable_weights(state.model)) {
      const Variable& gradient = weight.parameter->value.grad();
      if (!gradient.defined()) continue;
      const Tensor dense = gradient.value().to(Layout::Nchw).contiguous();
      // Means, so that both are of one scale; only their order and shares count.
      const double part = options_.second > 0.0 ? 1.0 - options_.decay : 1.0;
      follow(kFirst + weight.name, dense, options_.decay, [&](double g) { return part * g; });
      if (options_.second == 0.0) continue;
      const double rest = 1.0 - options_.second;
      follow(kSecond + weight.name, dense, options_.second, [&](double g) { return rest * g * g; });
    }
  }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> growth;
    for (const nn::NamedParameter& weight : context.weights) {
      const auto first = averages_.find(kFirst + weight.name);
      if (first == averages_.end()) {  // the loss does not depend on it, or nothing was trained
        growth.push_back(Tensor::zeros(weight.parameter->shape(), DType::F64));
        continue;
      }
      growth.push_back(as_double(first->second));
      double* v = growth.back().data<double>();
      for (int64_t i = 0; i < growth.back().numel(); ++i) v[i] = std::abs(v[i]);
      if (options_.second == 0.0) continue;
      const Tensor squares = as_double(averages_.at(kSecond + weight.name));
      for (int64_t i = 0; i < squares.numel(); ++i) {
        v[i] /= std::sqrt(squares.data<double>()[i]) + kSmall;
      }
    }
    return growth;
  }

  std::map<std::string, Tensor> state() const override { return averages_; }
  void load_state(const std::map<std::string, Tensor>& state) override {
    averages_.clear();
    for (const auto& [name, tensor] : state) averages_[name] = tensor.clone();
  }

 private:
  /// average <- decay * average + term(gradient).
  template <class Term>
  void follow(const std::string& name, const Tensor& gradient, double decay, Term term) {
    Tensor& average = averages_[name];
    if (!average.defined()) average = Tensor::zeros_like(gradient);
    dispatch_floating(gradient.dtype(), "momentum growth", [&](auto zero) {
      using T = decltype(zero);
      T* v = average.data<T>();
      const T* g = gradient.data<T>();
      for (int64_t i = 0; i < gradient.numel(); ++i) {
        v[i] = static_cast<T>(decay * static_cast<double>(v[i]) + term(static_cast<double>(g[i])));
      }
    });
  }

  MomentumOptions options_;
  std::map<std::string, Tensor> averages_;  // of gradients and their squares, by weight
};

}  // namespace

std::unique_ptr<Growth> momentum_growth(const MomentumOptions& options) {
  return std::make_unique<MomentumGrowth>(options);
}

}  // namespace espalier::prune
