// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/timing/layer_times.h>

#include <nlohmann/json.hpp>

#include <espalier/experiments/timing/step_bench.h>

namespace espalier::experiments::timing {

using Json = nlohmann::ordered_json;

Json layers_json(const std::vector<nn::LayerExplanation>& layers, Job job) {
  Json out = Json::array();
  for (const nn::LayerExplanation& layer : layers) {
    double chosen = layer.forward.milliseconds();
    double dense = layer.forward.times.dense;
    std::string kernel = layer.forward.choice.sparse ? "sparse" : "dense";
    std::string reason = layer.forward.choice.reason;
    if (job == Job::Train) {
      chosen += layer.backward.milliseconds();
      dense += layer.backward.times.dense;
      if (layer.backward.choice.sparse != layer.forward.choice.sparse) {
        kernel += layer.backward.choice.sparse ? ", backward sparse" : ", backward dense";
        reason += "; backward: " + layer.backward.choice.reason;
      }
    }
    out.push_back({{"name", layer.name},
                   {"kind", layer.kind},
                   {"density", layer.density},
                   {"kernel", kernel},
                   {"milliseconds", chosen},
                   {"milliseconds_dense", dense},
                   {"reason", reason}});
  }
  return out;
}

Json time_layers(Network& network, int64_t batch) {
  const Variable images(random_images(network, batch));
  return {{"job", "train"},
          {"batch", batch},
          {"layers", layers_json(nn::explain(*network.module, images), Job::Train)}};
}

}  // namespace espalier::experiments::timing
