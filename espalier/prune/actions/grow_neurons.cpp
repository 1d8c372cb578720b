// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <espalier/prune/actions/actions.h>
#include <espalier/prune/curvature/bridging.h>
#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/ground/as_double.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {
namespace {

/// A weight and its mask, to be written to.
struct Side {
  explicit Side(nn::Parameter& of) : parameter(of), values(as_double(of.value.value())) {
    mask = of.masked() ? of.mask().clone() : Tensor::ones(of.shape(), DType::U8);
    double sum = 0.0;
    for (int64_t i = 0; i < values.numel(); ++i) sum += std::abs(values.data<double>()[i]);
    mean = sum / static_cast<double>(std::max<int64_t>(of.nnz(), 1));
  }

  bool lives(int64_t i) const { return mask.data<uint8_t>()[i] != 0; }
  void remove(int64_t i) {
    mask.data<uint8_t>()[i] = 0;
    values.data<double>()[i] = 0.0;
  }
  void add(int64_t i, double value) {
    mask.data<uint8_t>()[i] = 1;
    values.data<double>()[i] += value;
  }
  /// The mean size of these entries that live becomes `wanted`.
  void scale(const std::vector<int64_t>& entries, double wanted) {
    double sum = 0.0;
    int64_t living = 0;
    for (const int64_t i : entries) {
      sum += std::abs(values.data<double>()[i]);
      living += lives(i) ? 1 : 0;
    }
    if (sum == 0.0) return;
    for (const int64_t i : entries) {
      values.data<double>()[i] *= wanted * static_cast<double>(living) / sum;
    }
  }
  void write() {
    parameter.set_mask(mask);
    parameter.value.value().copy_(values.to(parameter.value.dtype()));
  }

  nn::Parameter& parameter;
  Tensor values;  // float64
  Tensor mask;
  double mean = 0.0;  // of the sizes of what lives
};

class GrowNeurons : public Action {
 public:
  explicit GrowNeurons(const NeuronOptions& options) : options_(options) {
    ESPALIER_CHECK(
        options.fraction >= 0.0 && options.fraction <= 1.0 && options.birth_strength >= 0.0,
        ValueError,
        "grow neurons: expects a fraction in 0 .. 1 and a birth strength >= 0, got ",
        options.fraction,
        " and ",
        options.birth_strength);
  }

  ActionFacts facts() const override { return {.needs_data = true, .revives = true}; }
  std::string refusal(const Pattern& pattern) const override {
    if (pattern.name() == "unstructured") return {};
    return cat("gives neurons single connections, got pattern ", pattern.name());
  }

  UpdateReport update(const Subject& subject,
                      std::span<const Moment> rounds,
                      UpdateNumber number) override {
    UpdateReport report{.step = rounds.back().step, .target = rounds.back().sparsity};
    const auto weights = prunable_weights(subject.model, subject.settings.exclude);
    const auto is_prunable = [&](const std::string& name) {
      return std::ranges::count(weights, name, &nn::NamedParameter::name) > 0;
    };
    std::vector<NeuronLayer> layers = neuron_layers(subject.model, subject.inputs.input_shape);
    std::erase_if(layers, [&](const NeuronLayer& layer) {
      return !is_prunable(layer.in) || !is_prunable(layer.out);
    });
    std::map<std::string, int64_t> before;
    for (const nn::NamedParameter& weight : weights) before[weight.name] = weight.parameter->nnz();
    if (!layers.empty()) {
      const Rng rng =
          Rng(subject.inputs.seed, "neurons").fork(static_cast<uint64_t>(number.number));
      const data::Batch batch = calibration_batches(subject.inputs)(number.number);
      const std::vector<Tensor> bridges =
          bridging_gradients(subject.model, layers, subject.inputs, batch);
      const NoGrad no_grad;
      for (size_t l = 0; l < layers.size(); ++l) {
        Rng own = rng.fork(stream_id(layers[l].in));
        give_birth(subject.model, layers[l], bridges[l], own);
      }
      if (subject.optimizer != nullptr) subject.optimizer->clear_masked_state();
    } else if (number.number == 0) {
      report.notes.emplace_back("no hidden layer between two linear ones: no neuron grows");
    }
    for (const nn::NamedParameter& weight : weights) {
      const int64_t now = weight.parameter->nnz();
      report.layers.push_back(
          {weight.name, weight.parameter->numel(), now, std::abs(now - before.at(weight.name))});
    }
    return report;
  }

 private:
  void give_birth(nn::Module& model, const NeuronLayer& layer, const Tensor& bridge, Rng& rng) {
    Side in(model.parameter(layer.in));
    Side out(model.parameter(layer.out));
    const int64_t outputs = bridge.size(0);
    const int64_t inputs = bridge.size(1);
    const auto entries_of = [&](int64_t neuron) {
      std::pair<std::vector<int64_t>, std::vector<int64_t>> entries;
      for (int64_t n = 0; n < inputs; ++n) entries.first.push_back(neuron * inputs + n);
      for (int64_t m = 0; m < outputs; ++m) entries.second.push_back(m * layer.neurons + neuron);
      return entries;
    };
    const auto is_dead = [&](int64_t neuron) {
      const auto [from, to] = entries_of(neuron);
      return std::ranges::none_of(from, [&](int64_t i) { return in.lives(i); }) ||
             std::ranges::none_of(to, [&](int64_t i) { return out.lives(i); });
    };
    int64_t neuron = 0;
    while (neuron < layer.neurons && !is_dead(neuron)) ++neuron;
    const int64_t taken = std::max<int64_t>(
        guarded_floor(options_.fraction * static_cast<double>(bridge.numel())), 1);
    if (neuron == layer.neurons || options_.fraction == 0.0) return;
    std::vector<double> sizes = bridge.to_vector<double>();
    for (double& size : sizes) size = std::abs(size);
    const std::vector<uint8_t> chosen = top_k(sizes, {}, taken);
    const auto [from, to] = entries_of(neuron);
    for (const int64_t i : from) in.remove(i);  // what leads nowhere
    for (const int64_t i : to) out.remove(i);
    for (int64_t b = 0; b < bridge.numel(); ++b) {
      const auto at = static_cast<size_t>(b);
      if (chosen[at] == 0 || sizes[at] == 0.0) continue;
      const double size = rng.below(2) == 0 ? std::sqrt(sizes[at]) : -std::sqrt(sizes[at]);
      const double sign = bridge.data<double>()[b] > 0.0 ? -1.0 : 1.0;
      out.add(to[static_cast<size_t>(b / inputs)], size);
      in.add(from[static_cast<size_t>(b % inputs)], sign * size);
    }
    in.scale(from, options_.birth_strength * in.mean);
    out.scale(to, options_.birth_strength * out.mean);
    in.write();
    out.write();
    if (layer.bias.empty()) return;
    model.parameter(layer.bias)
        .value.value()
        .reshape({layer.neurons})
        .slice(0, neuron, neuron + 1)
        .fill_(0.0);
  }

  NeuronOptions options_;
};

}  // namespace

std::shared_ptr<Action> grow_neurons(const NeuronOptions& options) {
  return std::make_shared<GrowNeurons>(options);
}

}  // namespace espalier::prune
