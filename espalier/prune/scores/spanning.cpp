// SPDX-License-Identifier: Apache-2.0
/// Spanning: random, but every neuron that is in use has a connection on either side, as far as the
/// number goes.
///
/// Source: the seed of Dai, Yin, Jha, arXiv 1711.02017.
#include <cmath>
#include <set>

#include <espalier/prune/curvature/bridging.h>
#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

constexpr double kFirst = 1.0;  // added to numbers in 0 .. 1
constexpr double kLast = -2.0;

/// The outputs and inputs of a weight that are in use.
struct InUse {
  int64_t outputs = 0;
  int64_t inputs = 0;
};

class SpanningScore : public Score {
 public:
  explicit SpanningScore(double neurons) : neurons_(neurons) {
    ESPALIER_CHECK(neurons > 0.0 && neurons <= 1.0,
                   ValueError,
                   "spanning score: expects a fraction in 0 .. 1 (0 excluded), got ",
                   neurons);
  }
  ScoreNeeds needs() const override {
    return neurons_ < 1.0 ? ScoreNeeds::Input : ScoreNeeds::Weights;
  }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores = random_score()->compute(context);
    std::map<std::string, InUse> in_use;
    for (const nn::NamedParameter& weight : context.weights) {
      const Shape& shape = weight.parameter->shape();
      in_use[weight.name] = {shape[0], shape.rank() > 1 ? shape[1] : 1};
    }
    if (neurons_ < 1.0) {
      for (const NeuronLayer& layer : neuron_layers(context.model, context.inputs.input_shape)) {
        const double used = std::ceil(neurons_ * static_cast<double>(layer.neurons) - 1e-9);
        in_use[layer.in].outputs = in_use[layer.out].inputs = static_cast<int64_t>(used);
      }
    }
    for (size_t w = 0; w < scores.size(); ++w) rank(scores[w], in_use.at(context.weights[w].name));
    return scores;
  }

 private:
  static void rank(Tensor& score, const InUse& use) {
    if (score.numel() == 0) return;
    const int64_t outputs = score.size(0);
    const int64_t inputs = score.rank() > 1 ? score.size(1) : 1;
    const int64_t kernel = score.numel() / (outputs * inputs);
    std::vector<int64_t> best_of_output(static_cast<size_t>(outputs), -1);
    std::vector<int64_t> best_of_input(static_cast<size_t>(inputs), -1);
    double* s = score.data<double>();
    for (int64_t i = 0; i < score.numel(); ++i) {
      const int64_t output = i / (inputs * kernel);
      const int64_t input = i / kernel % inputs;
      if (output >= use.outputs || input >= use.inputs) {
        s[i] += kLast;
        continue;
      }
      int64_t& of_output = best_of_output[static_cast<size_t>(output)];
      int64_t& of_input = best_of_input[static_cast<size_t>(input)];
      if (of_output < 0 || s[i] > s[of_output]) of_output = i;
      if (of_input < 0 || s[i] > s[of_input]) of_input = i;
    }
    std::set<int64_t> best(best_of_output.begin(), best_of_output.end());
    best.insert(best_of_input.begin(), best_of_input.end());
    for (const int64_t i : best) {
      if (i >= 0) s[i] += kFirst;
    }
  }

  double neurons_;
};

}  // namespace

std::unique_ptr<Score> spanning_score(double neurons) {
  return std::make_unique<SpanningScore>(neurons);
}

}  // namespace espalier::prune
