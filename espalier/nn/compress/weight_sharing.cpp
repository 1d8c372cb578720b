// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/compress/weight_sharing.h>

#include <algorithm>

#include <espalier/nn/compress/kmeans.h>

namespace espalier::nn::compress {
namespace {

// Writing to a Variable's value is not recorded, and weights are plain and contiguous.
float* values_of(Parameter& weight, std::string_view op) {
  Tensor& value = weight.value.value();
  ESPALIER_CHECK(value.dtype() == DType::F32 && value.is_contiguous(),
                 TypeError,
                 op,
                 ": expects contiguous float32 weights, got ",
                 value);
  return value.data<float>();
}

}  // namespace

void check_bits(const SharingBits& bits, std::string_view op) {
  ESPALIER_CHECK(std::min(bits.conv, bits.fc) >= 1 && std::max(bits.conv, bits.fc) <= 16,
                 ValueError,
                 op,
                 ": expects 1..16 bits, got ",
                 bits.conv,
                 " for convolutions and ",
                 bits.fc,
                 " for matrices");
}

std::vector<int64_t> kept_positions(const Parameter& weight) {
  std::vector<int64_t> out;
  if (weight.masked()) {
    const std::vector<int32_t>& kept = weight.support->kept();
    out.assign(kept.begin(), kept.end());
    return out;
  }
  const std::vector<float> values = weight.value.value().to_vector<float>();
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] != 0.0F) out.push_back(static_cast<int64_t>(i));
  }
  return out;
}

WeightSharing::WeightSharing(SharingBits bits, double rate) : bits_(bits), rate_(rate) {
  check_bits(bits, "WeightSharing");
  ESPALIER_CHECK(rate > 0.0, ValueError, "WeightSharing: expects a rate above 0, got ", rate);
}

void WeightSharing::share(const std::vector<NamedParameter>& weights, Optimizer* optimizer) {
  std::map<std::string, Layer> layers;
  for (const NamedParameter& weight : weights) {
    float* values = values_of(*weight.parameter, "WeightSharing");
    Layer layer{.positions = kept_positions(*weight.parameter), .index = {}};
    std::vector<float> kept;
    for (const int64_t at : layer.positions) kept.push_back(values[at]);
    Clusters clusters = kmeans(kept, int64_t{1} << bits_.of(weight.parameter->shape()));
    for (size_t i = 0; i < kept.size(); ++i) {
      values[layer.positions[i]] = clusters.centroids[clusters.index[i]];
    }
    layer.index = std::move(clusters.index);
    layer.clusters = static_cast<int64_t>(clusters.centroids.size());
    if (optimizer != nullptr) optimizer->restart(weight.name);
    layers.emplace(weight.name, std::move(layer));
  }
  layers_ = std::move(layers);
  active_ = true;
}

std::map<std::string, int64_t> WeightSharing::clusters() const {
  std::map<std::string, int64_t> out;
  for (const auto& [name, layer] : layers_) out.emplace(name, layer.clusters);
  return out;
}

Parameter& WeightSharing::parameter(Module& model,
                                    const std::string& name,
                                    const Layer& layer) const {
  Parameter& found = model.parameter(name);
  const bool fits = layer.positions.empty() || layer.positions.back() < found.numel();
  const bool same_mask =
      !found.masked() || found.nnz() == static_cast<int64_t>(layer.positions.size());
  ESPALIER_CHECK(fits && same_mask,
                 ValueError,
                 "WeightSharing: ",
                 name,
                 " has ",
                 found.nnz(),
                 " weights, but ",
                 layer.positions.size(),
                 " are shared; masks may not change after sharing");
  return found;
}

void WeightSharing::after_backward(Module& model) const {
  for (const auto& [name, layer] : layers_) {
    Parameter& weight = parameter(model, name, layer);
    if (!weight.value.grad().defined()) continue;
    const Tensor gradient = weight.value.grad().value().contiguous();
    Tensor summed = Tensor::zeros(gradient.shape(), gradient.dtype());
    const float* g = gradient.data<float>();
    float* out = summed.data<float>();
    std::vector<double> sums(static_cast<size_t>(layer.clusters), 0.0);
    for (size_t i = 0; i < layer.index.size(); ++i) {
      sums[layer.index[i]] += static_cast<double>(g[layer.positions[i]]);
    }
    for (size_t i = 0; i < layer.index.size(); ++i) {
      out[layer.positions[i]] = static_cast<float>(rate_ * sums[layer.index[i]]);
    }
    weight.value.set_grad(Variable(summed));
  }
}

void WeightSharing::after_step(Module& model) const {
  for (const auto& [name, layer] : layers_) {
    float* values = values_of(parameter(model, name, layer), "WeightSharing");
    std::vector<int64_t> first(static_cast<size_t>(layer.clusters), -1);
    for (size_t i = 0; i < layer.index.size(); ++i) {
      int64_t& leader = first[layer.index[i]];
      if (leader < 0) leader = layer.positions[i];
      values[layer.positions[i]] = values[leader];
    }
  }
}

std::map<std::string, Tensor> WeightSharing::state() const {
  std::map<std::string, Tensor> out;
  for (const auto& [name, layer] : layers_) {
    const auto members = static_cast<int64_t>(layer.index.size());
    const std::vector<int32_t> index(layer.index.begin(), layer.index.end());
    out.emplace(name + ".positions", Tensor::from<int64_t>({members}, layer.positions));
    out.emplace(name + ".clusters", Tensor::from<int32_t>({members}, index));
  }
  return out;
}

void WeightSharing::load_state(const std::map<std::string, Tensor>& state) {
  constexpr std::string_view kPositions = ".positions";
  std::map<std::string, Layer> layers;
  for (const auto& [key, positions] : state) {
    if (!key.ends_with(kPositions)) continue;
    const std::string name = key.substr(0, key.size() - kPositions.size());
    const auto clusters = state.find(name + ".clusters");
    ESPALIER_CHECK(clusters != state.end() && clusters->second.shape() == positions.shape(),
                   ValueError,
                   "WeightSharing: the saved state of ",
                   name,
                   " has no cluster for every position");
    Layer layer{.positions = positions.to_vector<int64_t>(), .index = {}};
    for (const int32_t cluster : clusters->second.to_vector<int32_t>()) {
      ESPALIER_CHECK(cluster >= 0 && cluster < (1 << 16),
                     ValueError,
                     "WeightSharing: the saved state of ",
                     name,
                     " has a cluster ",
                     cluster);
      layer.index.push_back(static_cast<uint32_t>(cluster));
      layer.clusters = std::max<int64_t>(layer.clusters, cluster + 1);
    }
    layers.emplace(name, std::move(layer));
  }
  active_ = !layers.empty();
  layers_ = std::move(layers);
}

}  // namespace espalier::nn::compress
