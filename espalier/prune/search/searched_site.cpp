// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/search/searched_site.h>

#include <algorithm>
#include <map>

#include <espalier/core/error.h>
#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/introspect/samples.h>

namespace espalier::prune {
namespace {

/// Of the layers whose op has one, by the name of their weight.
std::map<std::string, int64_t> strides_of(const nn::NetworkGraph& graph) {
  std::map<std::string, int64_t> strides;
  for (const nn::GraphOp& op : graph.ops) {
    if (!op.attributes.contains("stride")) continue;
    for (const int input : op.inputs) {
      if (input < 0 || graph.value(input).name.empty()) continue;
      strides[graph.value(input).name] = op.attributes.pair("stride").h;
    }
  }
  return strides;
}

}  // namespace

std::vector<SearchedSite> searched_sites(nn::Module& model,
                                         std::span<const Site> sites,
                                         const Shape& sample) {
  ESPALIER_CHECK(sample.rank() == 3,
                 ValueError,
                 "prune: this search is for networks that are fed images, (C,H,W); a sample here "
                 "has the shape ",
                 sample,
                 " (outside of fit() it comes from PruneInputs::input_shape)");
  const Variable example(nn::zero_samples(model, sample));
  const auto strides = strides_of(nn::trace_network(model, example));
  const nn::ModelCount count = nn::count_model(model, sample);
  std::vector<SearchedSite> places;
  for (const Site& site : sites) {
    const Shape& shape = site.shape;
    SearchedSite place{.name = site.name, .units = site.units, .convolution = shape.rank() > 2};
    place.out = shape[0];
    place.in = shape[1];
    if (place.convolution) {
      const auto stride = strides.find(site.name);
      place.stride = stride == strides.end() ? 1 : stride->second;
      place.kernel = shape[2];
    }
    place.weights = shape.numel();
    const auto layer = std::ranges::find_if(count.layers, [&](const nn::LayerCount& one) {
      return site.name.starts_with(one.name + ".");
    });
    if (layer != count.layers.end()) place.macs = layer->macs_dense;
    places.push_back(std::move(place));
  }
  return places;
}

std::vector<std::vector<double>> layer_features(std::span<const SearchedSite> places) {
  std::vector<std::vector<double>> features;
  for (const SearchedSite& place : places) {
    features.push_back({static_cast<double>(features.size()),
                        place.convolution ? 0.0 : 1.0,
                        static_cast<double>(place.in),
                        static_cast<double>(place.out),
                        static_cast<double>(place.stride),
                        static_cast<double>(place.kernel),
                        static_cast<double>(place.weights)});
  }
  for (size_t f = 0; !features.empty() && f < features.front().size(); ++f) {
    const auto of = [f](const std::vector<double>& place) { return place[f]; };
    const auto [least, most] = std::ranges::minmax(features, {}, of);
    const double low = least[f];
    const double range = most[f] - low;
    if (range == 0.0) continue;
    for (auto& place : features) place[f] = (place[f] - low) / range;
  }
  return features;
}

}  // namespace espalier::prune
