// SPDX-License-Identifier: Apache-2.0
/// Synaptic saliency: s = |dR/dv * v| with R the sum of the outputs of the network whose parameters
/// all are replaced by v, their absolute values or their squares, for an input of ones. In a
/// network without biases the scores of every cut between input and output sum to R, so no layer is
/// emptied before another.
///
/// Source: Tanaka, Kunin, Yamins, Ganguli, arXiv 2006.05467, equation 4 and algorithm 1; of squares
/// Gebhart, Saxena, Schrater, arXiv 2101.10552.
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

/// Absolute values or squares everywhere, in the network's own memory.
void make_positive(Tensor& tensor, FlowOf parameters) {
  if (tensor.dtype() != DType::F64) return;  // a counter
  double* x = tensor.data<double>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    x[i] = parameters == FlowOf::Squares ? x[i] * x[i] : std::abs(x[i]);
  }
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
                                                                 {"silu", "SiLU"},
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

/// A positive network in float64: the flow grows by a factor in every layer, and in float32 deep
/// networks overflow.
std::unique_ptr<nn::Module> positive_network(const nn::Module& model,
                                             SynflowStatistics statistics,
                                             FlowOf parameters) {
  std::unique_ptr<nn::Module> net = model.clone();
  net->to(DType::F64);
  net->eval();
  if (statistics == SynflowStatistics::Initial) forget_statistics(*net);
  lift_limits(*net);
  for (const nn::NamedParameter& one : net->named_parameters()) {
    make_positive(one.parameter->value.value(), parameters);
  }
  for (const nn::NamedBuffer& one : net->named_buffers()) make_positive(*one.buffer, parameters);
  return net;
}

Tensor ones_like_a_sample(const Shape& sample) {
  ESPALIER_CHECK(sample.rank() > 0,
                 ValueError,
                 "synflow: needs the shape of a sample; set PruneInputs::input_shape");
  Shape batch = {1};
  for (int d = 0; d < sample.rank(); ++d) batch.push_back(sample[d]);
  return Tensor::ones(batch, DType::F64);
}

/// The mean of x^2 over the samples of the first batches.
Tensor mean_square_of_samples(const ScoreContext& context, int64_t batches) {
  Tensor mean;
  int64_t samples = 0;
  for (int64_t b = 0; b < (context.inputs.single_batch ? 1 : batches); ++b) {
    const Tensor images = as_double(scoring_batch(context, b).images.to(Layout::Nchw));
    if (!mean.defined()) {
      Shape one = {1};
      for (int d = 1; d < images.shape().rank(); ++d) one.push_back(images.size(d));
      mean = Tensor::zeros(one, DType::F64);
    }
    const double* x = images.data<double>();
    for (int64_t i = 0; i < images.numel(); ++i)
      mean.data<double>()[i % mean.numel()] += x[i] * x[i];
    samples += images.size(0);
  }
  for (int64_t i = 0; i < mean.numel(); ++i) mean.data<double>()[i] /= static_cast<double>(samples);
  return mean;
}

/// v and dR/dv of weights of a positive network; zeros where there is no path to the output.
struct Flow {
  double total = 0.0;
  std::vector<Tensor> values = {};
  std::vector<Tensor> gradients = {};
};
Flow flow_through(nn::Module& net, std::span<const nn::NamedParameter> of, const Variable& input) {
  const RecordingScope recording(true);
  std::vector<Variable> weights;
  for (const nn::NamedParameter& weight : of) weights.push_back(net.parameter(weight.name).value);
  const Variable sum_of_outputs = sum(net(input));
  Flow flow{.total = sum_of_outputs.item()};
  ESPALIER_CHECK(std::isfinite(flow.total),
                 ValueError,
                 "synflow: the flow through the network is ",
                 flow.total,
                 "; expected a finite number. Are its weights finite?");
  const std::vector<Variable> gradients = grad({sum_of_outputs}, weights, {.allow_unused = true});
  for (size_t w = 0; w < weights.size(); ++w) {
    flow.values.push_back(as_double(weights[w].value()));
    flow.gradients.push_back(gradients[w].defined()
                                 ? as_double(gradients[w].value())
                                 : Tensor::zeros(weights[w].shape(), DType::F64));
  }
  return flow;
}

class SynflowScore : public Score {
 public:
  explicit SynflowScore(const SynflowOptions& options) : options_(options) {}
  ScoreNeeds needs() const override {
    return options_.input == FlowInput::Ones ? ScoreNeeds::Input : ScoreNeeds::Activations;
  }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    const auto net = positive_network(context.model, options_.statistics, options_.parameters);
    const Variable input(options_.input == FlowInput::Ones
                             ? ones_like_a_sample(context.inputs.input_shape)
                             : mean_square_of_samples(context, options_.batches));
    watch(*net, input, context);
    Flow flow = flow_through(*net, context.weights, input);
    ESPALIER_CHECK(options_.parameters != FlowOf::Squares || flow.total > 0.0,
                   ValueError,
                   "synflow: no flow of squares reaches the outputs: the network is cut, or its "
                   "weights are so small that float64 can't hold the product of their squares");
    for (size_t w = 0; w < flow.values.size(); ++w) {
      double* s = flow.values[w].data<double>();
      const double* g = flow.gradients[w].data<double>();
      for (int64_t i = 0; i < flow.values[w].numel(); ++i) s[i] = std::abs(s[i] * g[i]);
    }
    return std::move(flow.values);
  }

 private:
  /// Looks once: rounds of pruning change the weights, not the ops.
  void watch(nn::Module& net, const Variable& input, const ScoreContext& context) {
    if (!watched_) {
      const NoGrad no_grad;
      others_ = lossy_ops(nn::trace_run(net, input));
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

  SynflowOptions options_;
  bool watched_ = false;
  std::set<std::string> others_;  // ops that are not positively homogeneous
};

}  // namespace

std::unique_ptr<Score> synflow_score(const SynflowOptions& options) {
  return std::make_unique<SynflowScore>(options);
}

double path_kernel_trace(nn::Module& model,
                         std::span<const nn::NamedParameter> weights,
                         const Shape& sample) {
  const auto net = positive_network(model, SynflowStatistics::Initial, FlowOf::Squares);
  const Flow flow = flow_through(*net, weights, Variable(ones_like_a_sample(sample)));
  double trace = 0.0;
  for (size_t w = 0; w < weights.size(); ++w) {
    const Tensor mask = weights[w].parameter->mask();
    for (int64_t i = 0; i < flow.gradients[w].numel(); ++i) {
      if (mask.defined() && mask.data<uint8_t>()[i] == 0) continue;
      trace += flow.gradients[w].data<double>()[i];
    }
  }
  return trace;
}

}  // namespace espalier::prune
