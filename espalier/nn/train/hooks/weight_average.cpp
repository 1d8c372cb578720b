// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/hooks/weight_average.h>

#include <algorithm>
#include <utility>

#include <espalier/core/loops.h>
#include <espalier/nn/train/detail/named_tensors.h>

namespace espalier::nn {
namespace {

constexpr const char* kAverage = "average/";
constexpr const char* kMask = "mask/";
constexpr const char* kUpdates = "updates";

// Where the weight exists: decay * average + (1 - decay) * weight; the weight where it did not
// exist before. Masked weights are zero, so that with a share of 1 the average is, too.
void average_into(Tensor& average, const Tensor& weight, const Tensor& fresh, double decay) {
  dispatch_floating(weight.dtype(), "WeightAverage", [&](auto zero) {
    using T = decltype(zero);
    const T old = static_cast<T>(decay);
    const T rest = static_cast<T>(1.0 - decay);
    if (!fresh.defined()) {
      map_into<T, T, T>(average, average, weight, [=](T a, T w) { return old * a + rest * w; });
    } else {
      map_into<T, T, T, uint8_t>(average, average, weight, fresh, [=](T a, T w, uint8_t anew) {
        return anew != 0 ? w : old * a + rest * w;
      });
    }
  });
}

// 1 where an entry does not exist or did not exist: there the average is the weight. Undefined:
// nowhere.
Tensor begun_anew(const Tensor& before, const Tensor& now) {
  if (!before.defined() && !now.defined()) return {};
  const Tensor& one = before.defined() ? before : now;
  const Tensor& other = now.defined() ? now : before;
  Tensor fresh = Tensor::empty_like(one);
  map_into<uint8_t, uint8_t, uint8_t>(
      fresh, one, other, [](uint8_t a, uint8_t b) -> uint8_t { return a == 0 || b == 0; });
  return fresh;
}

}  // namespace

WeightAverage::WeightAverage(const WeightAverageOptions& options) : options_(options) {
  ESPALIER_CHECK(options.decay >= 0.0 && options.decay <= 1.0,
                 ValueError,
                 "WeightAverage: expects 0 <= decay <= 1, got ",
                 options.decay);
  ESPALIER_CHECK(options.every >= 1,
                 ValueError,
                 "WeightAverage: expects every >= 1 steps, got ",
                 options.every);
}

void WeightAverage::update(Module& model) {
  const auto t = static_cast<double>(updates_);
  const double decay =
      options_.ramp ? std::min(options_.decay, (1.0 + t) / (10.0 + t)) : options_.decay;
  std::map<std::string, Tensor> averages;
  std::map<std::string, Tensor> masks;
  for (const NamedParameter& p : model.named_parameters()) {
    const Tensor& weight = p.parameter->value.value();
    const auto found = averages_.find(p.name);
    const bool known = found != averages_.end() && found->second.shape() == weight.shape() &&
                       found->second.dtype() == weight.dtype();
    Tensor average = known ? found->second : weight.clone();
    masks[p.name] = p.parameter->mask();
    if (known) {
      average_into(average, weight, begun_anew(masks_[p.name], masks[p.name]), decay);
    }
    averages.emplace(p.name, std::move(average));
  }
  averages_ = std::move(averages);
  masks_ = std::move(masks);
  ++updates_;
}

void WeightAverage::swap(Module& model) {
  const std::vector<NamedParameter> parameters = model.named_parameters();
  for (const NamedParameter& p : parameters) {
    const auto found = averages_.find(p.name);
    ESPALIER_CHECK(found != averages_.end() && found->second.shape() == p.parameter->shape() &&
                       found->second.dtype() == p.parameter->value.dtype(),
                   ValueError,
                   "WeightAverage::swap: there is no average of '",
                   p.name,
                   "' of ",
                   p.parameter->value.value(),
                   averages_.empty() ? "; no step has been averaged" : "");
  }
  for (const NamedParameter& p : parameters) {
    Tensor& average = averages_.at(p.name);
    const Tensor weight = p.parameter->value.value().clone();
    p.parameter->value.value().copy_(average);
    p.parameter->apply_mask();
    average.copy_(weight);
  }
}

void WeightAverage::after_step(TrainState& state) {
  if (state.step % options_.every == 0) update(state.model);
}

void WeightAverage::end_of_training(TrainState& state) {
  if (options_.use_at_end && !averages_.empty()) swap(state.model);
}

std::map<std::string, Tensor> WeightAverage::state() const {
  std::map<std::string, Tensor> state = {{kUpdates, Tensor::from<int64_t>({}, {updates_})}};
  detail::add_tensors(state, kAverage, averages_);
  for (const auto& [name, mask] : masks_) {
    if (mask.defined()) state.emplace(kMask + name, mask);
  }
  return state;
}

void WeightAverage::load_state(const std::map<std::string, Tensor>& state) {
  ESPALIER_CHECK(state.contains(kUpdates),
                 ValueError,
                 "WeightAverage: the state has no 'updates'; is it of another hook?");
  updates_ = static_cast<int64_t>(state.at(kUpdates).item());
  averages_ = detail::copies_of(detail::tensors_under(state, kAverage));
  masks_ = detail::copies_of(detail::tensors_under(state, kMask));
}

}  // namespace espalier::nn
