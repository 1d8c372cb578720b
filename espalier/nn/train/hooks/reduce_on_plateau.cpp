// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/hooks/reduce_on_plateau.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace espalier::nn {
namespace {

constexpr const char* kScale = "scale";
constexpr const char* kCooling = "cooling";

}  // namespace

ReduceOnPlateau::ReduceOnPlateau(Watched watched, const ReduceOnPlateauOptions& options)
    : watched_(std::move(watched)), options_(options) {
  ESPALIER_CHECK(options.factor >= 0.0 && options.factor < 1.0,
                 ValueError,
                 "ReduceOnPlateau: expects 0 <= factor < 1, got ",
                 options.factor);
  ESPALIER_CHECK(options.patience >= 0 && options.cooldown >= 0,
                 ValueError,
                 "ReduceOnPlateau: expects patience and cooldown >= 0, got ",
                 options.patience,
                 " and ",
                 options.cooldown);
  ESPALIER_CHECK(options.threshold >= 0.0 && options.min_lr >= 0.0,
                 ValueError,
                 "ReduceOnPlateau: expects threshold and min_lr >= 0, got ",
                 options.threshold,
                 " and ",
                 options.min_lr);
}

void ReduceOnPlateau::before_step(TrainState& state) {
  if (scale_ == 1.0) return;
  const double rate = state.optimizer.lr();
  state.optimizer.set_lr(std::max(rate * scale_, std::min(rate, options_.min_lr)));
}

void ReduceOnPlateau::end_of_epoch(TrainState& state) {
  const double value = watched_.value(state);
  const double margin = best_.found() ? options_.threshold * std::abs(best_.best()) : 0.0;
  best_.takes(value, watched_.higher_is_better, margin);
  if (cooling_ > 0) {
    --cooling_;
    best_.wait_anew();
  }
  if (best_.since() > options_.patience) {
    scale_ *= options_.factor;
    cooling_ = options_.cooldown;
    best_.wait_anew();
  }
}

std::map<std::string, Tensor> ReduceOnPlateau::state() const {
  std::map<std::string, Tensor> state = best_.to_tensors();
  state.emplace(kScale, Tensor::scalar(scale_, DType::F64));
  state.emplace(kCooling, Tensor::from<int64_t>({}, {cooling_}));
  return state;
}

void ReduceOnPlateau::load_state(const std::map<std::string, Tensor>& state) {
  best_.load(state, "ReduceOnPlateau");
  ESPALIER_CHECK(state.contains(kScale) && state.contains(kCooling),
                 ValueError,
                 "ReduceOnPlateau: the state has no 'scale' and 'cooling'; is it of another hook?");
  scale_ = state.at(kScale).item();
  cooling_ = static_cast<int64_t>(state.at(kCooling).item());
}

}  // namespace espalier::nn
