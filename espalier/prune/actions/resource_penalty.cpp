// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <espalier/prune/actions/actions.h>
#include <espalier/prune/penalties/penalty.h>
#include <espalier/prune/penalties/resource.h>
#include <espalier/prune/scores/norm_scale.h>

namespace espalier::prune {
namespace {

/// One scale of a channel.
struct Scale {
  nn::Parameter* parameter = nullptr;
  size_t index = 0;
};

class ResourcePenalty : public Action {
 public:
  explicit ResourcePenalty(const ResourcePenaltyOptions& options) : options_(options) {}

  ActionFacts facts() const override { return {.needs_data = true, .needs_norm = true}; }

  void check(const Subject& subject) override { bind(subject); }

  void after_backward(const Subject& subject, nn::TrainState&) override {
    bind(subject);
    std::vector<uint8_t> alive(scales_.size(), 1);
    std::vector<const Scale*> largest(scales_.size(), nullptr);
    std::map<nn::Parameter*, std::vector<double>> values;
    for (const auto& [parameter, numel] : parameters_) {
      values[parameter] = parameter->value.value().to_vector<double>();
    }
    for (size_t c = 0; c < scales_.size(); ++c) {
      double size = -1.0;
      for (const Scale& scale : scales_[c]) {
        const double own = std::abs(values.at(scale.parameter)[scale.index]);
        if (own > size) largest[c] = &scale;
        size = std::max(size, own);
      }
      if (largest[c] != nullptr) alive[c] = size > options_.threshold ? 1 : 0;
    }
    const std::vector<double> slope = resource_gradient(terms_, alive);
    std::map<nn::Parameter*, std::vector<double>> amounts;
    for (const auto& [parameter, numel] : parameters_) amounts[parameter].resize(numel, 0.0);
    for (size_t c = 0; c < scales_.size(); ++c) {
      if (largest[c] == nullptr) continue;
      const double gamma = values.at(largest[c]->parameter)[largest[c]->index];
      const double sign = static_cast<double>((gamma > 0.0) - (gamma < 0.0));
      amounts.at(largest[c]->parameter)[largest[c]->index] =
          options_.strength / dense_cost_ * slope[c] * sign;
    }
    for (const auto& [parameter, numel] : parameters_) {
      add_to_gradient(*parameter, amounts.at(parameter));
    }
  }

 private:
  /// Reads the network: at the first call, also of a resumed run.
  void bind(const Subject& subject) {
    if (!terms_.empty()) return;
    const Variable sample = normal_sample(subject.model, subject.inputs.input_shape);
    const ChannelGraph graph = trace_channels(subject.model, sample);
    terms_ = resource_terms(subject.model, graph, sample, options_.resource);
    scales_.resize(static_cast<size_t>(graph.channels()));
    dense_cost_ = resource_cost(terms_, std::vector<uint8_t>(scales_.size(), 1));
    const std::vector<nn::NamedParameter> norms = norm_scales(subject.model);
    for (const LayerChannels& layer : graph.layers) {
      const std::string name = layer.name.empty() ? "weight" : layer.name + ".weight";
      const auto norm = std::ranges::find(norms, name, &nn::NamedParameter::name);
      if (norm == norms.end()) continue;
      for (size_t i = 0; i < layer.out.size(); ++i) {
        const auto c = static_cast<size_t>(layer.out[i]);
        if (!graph.frozen_because[c].empty()) continue;  // it stays, so it is alive
        scales_[c].push_back({norm->parameter, i});
        parameters_[norm->parameter] = layer.out.size();
      }
    }
    ESPALIER_CHECK(
        !parameters_.empty(),
        ValueError,
        "prune: needs batch norm behind convolutions, whose scales it trains; no channel "
        "of this model that may go has one. Choose another method (l1-filters, taylor), "
        "or a model with batch norm (vgg16, resnet20)");
  }

  ResourcePenaltyOptions options_;
  std::vector<ResourceTerm> terms_;
  double dense_cost_ = 0.0;
  std::vector<std::vector<Scale>> scales_;       // by channel; none: always alive
  std::map<nn::Parameter*, size_t> parameters_;  // with their numbers of entries
};

}  // namespace

std::shared_ptr<Action> resource_penalty(const ResourcePenaltyOptions& options) {
  return std::make_shared<ResourcePenalty>(options);
}

}  // namespace espalier::prune
