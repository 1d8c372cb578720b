// SPDX-License-Identifier: Apache-2.0
/// Synaptic saliency: s = |dR/dw * w| with R the sum of the outputs of the network whose parameters
/// all are replaced by their absolute values, for an input of ones. In a network without biases the
/// scores of every cut between input and output sum to R, so no layer is emptied before another.
///
/// Source: Tanaka, Kunin, Yamins, Ganguli, arXiv 2006.05467, equation 4 and algorithm 1.
#include <cmath>
#include <map>
#include <set>
#include <string_view>

#include <espalier/autograd/ops.h>
#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/layers/activations.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {
namespace {

/// Absolute values everywhere, in the network's own memory.
void make_positive(Tensor& tensor) {
  if (tensor.dtype() != DType::F64) return;  // a counter
  double* x = tensor.data<double>();
  for (int64_t i = 0; i < tensor.numel(); ++i) x[i] = std::abs(x[i]);
}

/// Statistics that training has moved shift the activations, and R is then no longer homogeneous in
/// a layer's weights.
void forget_statistics(nn::Module& net) {
  for (const nn::NamedModule& layer : net.named_modules()) {
    auto* norm = dynamic_cast<nn::BatchNorm*>(layer.module);
    if (norm == nullptr) continue;
    norm->running_mean.fill_(0.0);
    norm->running_var.fill_(1.0);
  }
}

/// A unit at its limit passes no flow on, and of absolute values nearly all units are there. What
/// is conserved is the flow of a network that is positively homogeneous.
void lift_limits(nn::Module& net) {
  for (const nn::NamedModule& layer : net.named_modules()) {
    if (auto* limited = dynamic_cast<nn::ReLU6*>(layer.module)) limited->lift_limit();
  }
}

void check_limit(const Tensor& output, const Tensor& input) {
  const Tensor after = as_double(output);
  const Tensor before = as_double(input);
  for (int64_t i = 0; i < before.numel(); ++i) {
    const double x = before.data<double>()[i];
    ESPALIER_CHECK(after.data<double>()[i] >= x,
                   ValueError,
                   "synflow: a clamp of the network limits ",
                   x,
                   " to ",
                   after.data<double>()[i],
                   ", so no flow passes on from there and all weights before it would score 0. "
                   "Use nn::ReLU6, whose limit is lifted while scoring, or another method");
  }
}

/// Names, for users, of the ops through which the flow is not conserved: they are not positively
/// homogeneous.
std::set<std::string> lossy_ops(const nn::TracedRun& run) {
  static const std::map<std::string_view, std::string> others = {{"exp", "exp"},
                                                                 {"gelu", "GELU"},
                                                                 {"gelu_tanh", "GELU"},
                                                                 {"group_norm", "layer norm"},
                                                                 {"log", "log"},
                                                                 {"log_softmax", "softmax"},
                                                                 {"sigmoid", "sigmoid"},
                                                                 {"softmax", "softmax"},
                                                                 {"softplus", "softplus"},
                                                                 {"tanh", "tanh"}};
  std::set<std::string> names;
  const auto value = [&](int id) { return run.values[static_cast<size_t>(id)].value(); };
  for (const nn::GraphOp& op : run.graph.ops) {
    if (const auto found = others.find(op.name); found != others.end()) names.insert(found->second);
    if (op.name == "clamp") check_limit(value(op.output), value(op.inputs.at(0)));
  }
  return names;
}

class SynflowScore : public Score {
 public:
  explicit SynflowScore(SynflowStatistics statistics) : statistics_(statistics) {}
  ScoreNeeds needs() const override { return ScoreNeeds::Input; }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    ESPALIER_CHECK(context.inputs.input_shape.rank() > 0,
                   ValueError,
                   "synflow: needs the shape of a sample; set PruneInputs::input_shape");
    const RecordingScope recording(true);
    const std::unique_ptr<nn::Module> net = context.model.clone();
    // The flow grows by a factor in every layer: in float32 deep networks overflow.
    net->to(DType::F64);
    net->eval();
    if (statistics_ == SynflowStatistics::Initial) forget_statistics(*net);
    lift_limits(*net);
    for (const nn::NamedParameter& one : net->named_parameters()) {
      make_positive(one.parameter->value.value());
    }
    for (const nn::NamedBuffer& one : net->named_buffers()) make_positive(*one.buffer);

    const Variable ones(ones_like_a_sample(context.inputs.input_shape));
    watch(*net, ones, context);
    std::vector<Variable> weights;
    for (const nn::NamedParameter& weight : context.weights) {
      weights.push_back(net->parameter(weight.name).value);
    }
    const Variable flow = sum((*net)(ones));
    ESPALIER_CHECK(std::isfinite(flow.item()),
                   ValueError,
                   "synflow: the flow through the network is ",
                   flow.item(),
                   "; expected a finite number. Are its weights finite?");
    const std::vector<Variable> gradients = grad({flow}, weights, {.allow_unused = true});
    std::vector<Tensor> scores;
    for (size_t w = 0; w < weights.size(); ++w) {
      Tensor score = as_double(weights[w].value());
      double* s = score.data<double>();
      if (!gradients[w].defined()) {
        score.fill_(0.0);  // no path to the output
      } else {
        const Tensor gradient = as_double(gradients[w].value());
        const double* g = gradient.data<double>();
        for (int64_t i = 0; i < score.numel(); ++i) s[i] = std::abs(s[i] * g[i]);
      }
      scores.push_back(std::move(score));
    }
    return scores;
  }

 private:
  /// Looks once: rounds of pruning change the weights, not the ops.
  void watch(nn::Module& net, const Variable& ones, const ScoreContext& context) {
    if (!watched_) {
      const NoGrad no_grad;
      others_ = lossy_ops(nn::trace_run(net, ones));
      watched_ = true;
    }
    if (others_.empty() || context.notes == nullptr) return;
    std::string list;
    for (const std::string& name : others_) list += (list.empty() ? "" : ", ") + name;
    context.notes->push_back(
        cat("synflow: the flow is not conserved through ",
            list,
            ", so that scores of different layers don't compare as published"));
  }

  static Tensor ones_like_a_sample(const Shape& sample) {
    Shape batch = {1};
    for (int d = 0; d < sample.rank(); ++d) batch.push_back(sample[d]);
    return Tensor::ones(batch, DType::F64);
  }

  SynflowStatistics statistics_;
  bool watched_ = false;
  std::set<std::string> others_;  // ops that are not positively homogeneous
};

}  // namespace

std::unique_ptr<Score> synflow_score(SynflowStatistics statistics) {
  return std::make_unique<SynflowScore>(statistics);
}

}  // namespace espalier::prune
