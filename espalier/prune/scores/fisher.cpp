// SPDX-License-Identifier: Apache-2.0
/// Fisher: near a minimum of a log likelihood the loss rises by Delta_k = 1/2 H_kk when gate k is
/// closed, and H_kk is about the mean square of the samples' own gradients g_nk = dL_n/dm_k. Square
/// after the sum over space and over the layers that share the gate, before the mean over samples.
///
/// Source: Theis, Korshunova, Tejani, Huszar, arXiv 1801.05787, section 2.
#include <algorithm>

#include <espalier/nn/introspect/counting.h>
#include <espalier/prune/scores/fisher.h>
#include <espalier/prune/scores/reader_gates.h>

namespace espalier::prune {
namespace {

class FisherScore : public Score {
 public:
  explicit FisherScore(const FisherOptions& options) : options_(options) {}
  ScoreNeeds needs() const override { return ScoreNeeds::Gradients; }
  Reduce reduce() const override { return Reduce::Max; }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    ESPALIER_CHECK(options_.gates == FisherGates::Makers,
                   NotImplemented,
                   "fisher: gates in front of readers score channels, not weights");
    const std::vector<std::vector<Tensor>> gates = all_gates(context);
    std::vector<Tensor> scores;
    for (size_t w = 0; w < context.weights.size(); ++w) {
      std::vector<Tensor> of_weight;
      for (const auto& batch : gates) of_weight.push_back(batch[w]);
      scores.push_back(spread_over_filters(fisher_information(of_weight),
                                           context.weights[w].parameter->shape()));
    }
    return scores;
  }

  std::vector<std::vector<double>> score_units(const ScoreContext& context,
                                               std::span<const Site> sites) override {
    const std::vector<std::vector<Tensor>> gates = site_gates(context, sites);
    const auto positions = options_.cost == FisherCost::None ? std::map<std::string, double>{}
                                                             : output_positions(context);
    std::vector<std::vector<double>> scores;
    for (size_t s = 0; s < sites.size(); ++s) {
      scores.push_back(fisher_information(gates[s]));
      if (options_.cost == FisherCost::None) continue;
      const std::vector<double> saved = options_.cost == FisherCost::Memory
                                            ? activations_saved(sites[s], positions)
                                            : flops_saved(sites[s], positions);
      for (size_t u = 0; u < saved.size(); ++u) {
        scores.back()[u] = fisher_rank(scores.back()[u], saved[u], options_);
      }
    }
    return scores;
  }

 private:
  /// By site, a tensor (N,units) for each batch.
  std::vector<std::vector<Tensor>> site_gates(const ScoreContext& context,
                                              std::span<const Site> sites) const {
    std::vector<std::vector<Tensor>> gates(sites.size());
    if (options_.gates == FisherGates::Readers) {
      for (const data::Batch& batch : scoring_batches(context, options_.batches)) {
        const std::vector<Tensor> of_batch = reader_gates(context, batch, options_.mode, sites);
        for (size_t s = 0; s < sites.size(); ++s) gates[s].push_back(of_batch[s]);
      }
      return gates;
    }
    for (const std::vector<Tensor>& batch : all_gates(context)) {
      for (size_t s = 0; s < sites.size(); ++s) {
        gates[s].push_back(unit_gates(sites[s], context.weights, batch));
      }
    }
    return gates;
  }

  std::vector<std::vector<Tensor>> all_gates(const ScoreContext& context) const {
    std::vector<std::vector<Tensor>> gates;
    for (const data::Batch& batch : scoring_batches(context, options_.batches)) {
      gates.push_back(gate_gradients(context, batch, options_.mode));
    }
    return gates;
  }

  FisherOptions options_;
};

}  // namespace

std::unique_ptr<Score> fisher_score(const FisherOptions& options) {
  return std::make_unique<FisherScore>(options);
}

double fisher_rank(double delta, double saved, const FisherOptions& options) {
  if (options.cost == FisherCost::Beta) return delta - options.beta * saved;
  if (options.cost == FisherCost::None) return delta;
  return saved > 0.0 ? delta / saved : 0.0;  // a unit that is gone already: not ranked
}

std::vector<double> fisher_information(std::span<const Tensor> gates) {
  const int64_t units = gates.front().size(1);
  std::vector<double> delta(static_cast<size_t>(units), 0.0);
  int64_t samples = 0;
  for (const Tensor& batch : gates) {
    samples += batch.size(0);
    for (int64_t i = 0; i < batch.numel(); ++i) {
      const double g = batch.data<double>()[i];
      delta[static_cast<size_t>(i % units)] += g * g;
    }
  }
  for (double& d : delta) d /= 2.0 * static_cast<double>(samples);
  return delta;
}

std::vector<double> flops_saved(const Site& site, const std::map<std::string, double>& positions) {
  std::vector<double> saved(static_cast<size_t>(site.units), 0.0);
  for (const SitePart& part : site.parts) {
    const auto found = positions.find(part.name);
    if (found == positions.end()) continue;  // norms and biases: below a percent of it
    std::vector<uint8_t> kept(static_cast<size_t>(part.parameter->numel()), 1);
    if (part.parameter->masked()) kept = part.parameter->mask().to_vector<uint8_t>();
    const int64_t inner =
        part.parameter->numel() / std::max<int64_t>(part.parameter->shape()[0], 1);
    std::vector<int64_t> filter(saved.size(), -1);
    for (size_t i = 0; i < kept.size(); ++i) {
      const int64_t unit = part.units.unit(static_cast<int64_t>(i));
      if (kept[i] == 0 || unit < 0) continue;
      const auto u = static_cast<size_t>(unit);
      saved[u] += 2.0 * found->second;
      // One addition less than multiplications, of every output element that goes as a whole.
      const int64_t row = static_cast<int64_t>(i) / inner;
      if (part.role == SliceRole::Consumer || filter[u] == row) continue;
      filter[u] = row;
      saved[u] -= found->second;
    }
  }
  return saved;
}

std::vector<double> activations_saved(const Site& site,
                                      const std::map<std::string, double>& positions) {
  std::vector<double> saved(static_cast<size_t>(site.units), 0.0);
  for (const SitePart& part : site.parts) {
    const auto found = positions.find(part.name);
    if (found == positions.end() || part.role == SliceRole::Consumer) continue;
    const int64_t rows = part.parameter->shape()[0];
    const int64_t inner = part.parameter->numel() / std::max<int64_t>(rows, 1);
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t unit = part.units.unit(row * inner);
      if (unit >= 0) saved[static_cast<size_t>(unit)] += found->second;
    }
  }
  return saved;
}

std::map<std::string, double> output_positions(const ScoreContext& context) {
  const nn::ModelCount count = nn::count_model(context.model, context.inputs.input_shape);
  std::map<std::string, double> of_layer;
  for (const nn::LayerCount& layer : count.layers) {
    if (layer.weights == 0) continue;
    of_layer[layer.name] =
        static_cast<double>(layer.macs_dense) / static_cast<double>(layer.weights);
  }
  std::map<std::string, double> positions;
  for (const nn::NamedParameter& one : context.model.named_parameters()) {
    const size_t dot = one.name.rfind('.');
    const auto layer = of_layer.find(dot == std::string::npos ? "" : one.name.substr(0, dot));
    if (one.parameter->shape().rank() >= 2 && layer != of_layer.end()) {
      positions[one.name] = layer->second;
    }
  }
  return positions;
}

}  // namespace espalier::prune
