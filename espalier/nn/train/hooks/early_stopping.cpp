// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/hooks/early_stopping.h>

#include <utility>

#include <espalier/nn/train/detail/named_tensors.h>

namespace espalier::nn {
namespace {

constexpr const char* kWeights = "weights/";

}  // namespace

EarlyStopping::EarlyStopping(Watched watched, const EarlyStoppingOptions& options)
    : watched_(std::move(watched)), options_(options) {
  ESPALIER_CHECK(options.patience >= 1,
                 ValueError,
                 "EarlyStopping: expects patience >= 1 epochs, got ",
                 options.patience);
  ESPALIER_CHECK(options.min_delta >= 0.0,
                 ValueError,
                 "EarlyStopping: expects min_delta >= 0, got ",
                 options.min_delta);
}

void EarlyStopping::end_of_epoch(TrainState& state) {
  const double value = watched_.value(state);
  if (best_.takes(value, watched_.higher_is_better, options_.min_delta)) {
    if (options_.restore_best) weights_ = detail::copies_of(state.model.state_dict());
  } else if (best_.since() >= options_.patience) {
    state.stop(cat("early stopping: ",
                   watched_.name,
                   " has not become better than ",
                   best_.best(),
                   " for ",
                   best_.since(),
                   best_.since() == 1 ? " epoch" : " epochs"));
  }
}

void EarlyStopping::end_of_training(TrainState& state) {
  if (!weights_.empty()) state.model.load_state_dict(weights_);
}

std::map<std::string, Tensor> EarlyStopping::state() const {
  std::map<std::string, Tensor> state = best_.to_tensors();
  detail::add_tensors(state, kWeights, weights_);
  return state;
}

void EarlyStopping::load_state(const std::map<std::string, Tensor>& state) {
  best_.load(state, "EarlyStopping");
  weights_ = detail::copies_of(detail::tensors_under(state, kWeights));
}

}  // namespace espalier::nn
