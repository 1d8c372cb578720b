// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/sites/collapse.h>
#include <espalier/prune/structure/channel_graph.h>

namespace espalier::prune {
namespace {

/// Calls `visit` with the channel of every entry that a slice holds.
template <class Visit>
void each_entry(const GroupSlice& slice, const Shape& shape, const Visit& visit) {
  int64_t inner = 1;
  for (int d = slice.dim + 1; d < shape.rank(); ++d) inner *= shape[d];
  for (int64_t i = 0; i < shape.numel(); ++i) {
    const int32_t channel = slice.channel_of[static_cast<size_t>(i / inner % shape[slice.dim])];
    if (channel >= 0) visit(i, static_cast<size_t>(channel));
  }
}

void silence(nn::Module& model, const ChannelGroup& group) {
  std::vector<uint8_t> alive(static_cast<size_t>(group.channels), 0);
  for (const GroupSlice& slice : group.slices) {
    if (slice.buffer || slice.role != SliceRole::Producer) continue;
    const nn::Parameter& parameter = model.parameter(slice.name);
    if (parameter.shape().rank() < 2) continue;
    const Tensor mask = parameter.mask();
    each_entry(slice, parameter.shape(), [&](int64_t i, size_t channel) {
      if (!mask.defined() || mask.data<uint8_t>()[i] != 0) alive[channel] = 1;
    });
  }
  for (const GroupSlice& slice : group.slices) {
    if (slice.buffer || slice.role == SliceRole::Consumer) continue;
    nn::Parameter& parameter = model.parameter(slice.name);
    Tensor mask =
        parameter.masked() ? parameter.mask().clone() : Tensor::ones(parameter.shape(), DType::U8);
    bool changed = false;
    each_entry(slice, parameter.shape(), [&](int64_t i, size_t channel) {
      uint8_t& kept = mask.data<uint8_t>()[i];
      changed = changed || (kept != 0 && alive[channel] == 0);
      kept &= alive[channel];
    });
    if (changed) parameter.set_mask(mask);
  }
}

class SilenceEmptyFilters : public Action {
 public:
  void enter(const Subject& subject, nn::TrainState& state) override {
    nn::Module& model = subject.model;
    for (const ChannelGroup& group :
         trace_channels(model, sample_of(model, subject.inputs)).groups(model)) {
      if (group.frozen_because.empty()) silence(model, group);
    }
    state.optimizer.clear_masked_state();
  }
};

}  // namespace

std::shared_ptr<Action> silence_empty_filters() {
  return std::make_shared<SilenceEmptyFilters>();
}

}  // namespace espalier::prune
