// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/ground/inputs.h>

namespace espalier::prune {
namespace {

/// Its data set, which it owns.
std::shared_ptr<const data::Dataset> borrowed(const data::Loader& loader) {
  return {std::shared_ptr<void>(), &loader.dataset()};
}

}  // namespace

std::function<data::Batch(int64_t index)> batches_like(const data::Loader& loader) {
  data::LoaderOptions options = loader.options();
  options.workers = 0;
  const auto own = std::make_shared<data::Loader>(borrowed(loader), options);
  return [own](int64_t index) {
    own->start_epoch(index / own->batches(), index % own->batches());
    return own->next().value();
  };
}

PruneInputs inputs_of_training(PruneInputs inputs, const nn::TrainState& state) {
  if (state.loader == nullptr) return inputs;
  if (!inputs.batch) {
    inputs.batch = batches_like(*state.loader);
    inputs.batches = state.loader->batches();
  }
  if (!inputs.dataset) {
    inputs.dataset = borrowed(*state.loader);
    inputs.loading = state.loader->options();
  }
  if (inputs.input_shape.rank() == 0) {
    inputs.input_shape = sample_shape(state.loader->dataset());
  }
  return inputs;
}

Shape sample_shape(const data::Dataset& dataset) {
  if (dataset.context() > 0) return {dataset.context()};
  const data::ImageShape image = dataset.image_shape();
  return {image.channels, image.height, image.width};
}

void set_values(nn::Module& model, const std::map<std::string, Tensor>& values) {
  for (const nn::NamedParameter& one : model.named_parameters()) {
    one.parameter->value.value().copy_(values.at(one.name));
    one.parameter->apply_mask();
  }
  for (const nn::NamedBuffer& one : model.named_buffers()) one.buffer->copy_(values.at(one.name));
}

void set_fresh_values(nn::Module& model, const PruneInputs& inputs, int64_t draw) {
  ESPALIER_CHECK(inputs.fresh_model,
                 ValueError,
                 "prune: starting again from fresh weights needs PruneInputs::fresh_model");
  set_values(model, inputs.fresh_model(inputs.seed + static_cast<uint64_t>(draw))->state_dict());
}

}  // namespace espalier::prune
