// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/hooks/best_model.h>

#include <utility>

#include <espalier/core/safetensors.h>
#include <espalier/nn/train/detail/named_tensors.h>

namespace espalier::nn {
namespace {

constexpr const char* kWeights = "weights/";
constexpr const char* kEpoch = "epoch";

}  // namespace

BestModel::BestModel(Watched watched, BestModelOptions options)
    : watched_(std::move(watched)), options_(std::move(options)) {
  ESPALIER_CHECK(options_.in_memory || !options_.file.empty(),
                 ValueError,
                 "BestModel: keeps weights neither in memory nor in a file; name one");
}

void BestModel::restore(Module& model) const {
  ESPALIER_CHECK(!weights_.empty(),
                 ValueError,
                 "BestModel::restore: no weights are kept in memory",
                 options_.in_memory ? ", for no epoch has ended" : "; read them from the file");
  model.load_state_dict(weights_);
}

void BestModel::end_of_epoch(TrainState& state) {
  if (!best_.takes(watched_.value(state), watched_.higher_is_better)) return;
  epoch_ = state.epoch;
  const std::map<std::string, Tensor> now = state.model.state_dict();
  if (options_.in_memory) weights_ = detail::copies_of(now);
  if (!options_.file.empty()) save_safetensors(options_.file, {.tensors = now, .metadata = {}});
}

std::map<std::string, Tensor> BestModel::state() const {
  std::map<std::string, Tensor> state = best_.to_tensors();
  state.emplace(kEpoch, Tensor::from<int64_t>({}, {epoch_}));
  detail::add_tensors(state, kWeights, weights_);
  return state;
}

void BestModel::load_state(const std::map<std::string, Tensor>& state) {
  best_.load(state, "BestModel");
  ESPALIER_CHECK(state.contains(kEpoch), ValueError, "BestModel: the state has no 'epoch'");
  epoch_ = static_cast<int64_t>(state.at(kEpoch).item());
  weights_ = detail::copies_of(detail::tensors_under(state, kWeights));
}

}  // namespace espalier::nn
