// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/timing/step_bench.h>

#include <algorithm>
#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/module/trace.h>
#include <espalier/prune/drive/registry.h>
#include <espalier/prune/patterns/pattern.h>

namespace espalier::experiments::timing {
namespace {

// Small, so that a network on random labels stays finite over thousands of steps.
constexpr nn::SgdOptions kSgd = {.lr = 1e-3, .momentum = 0.9};
constexpr double kWeightDecay = 5e-4;

/// How dense convolutions are computed while it lives.
class AlgorithmScope {
 public:
  explicit AlgorithmScope(Conv2dAlgorithm algorithm) : before_(conv2d_algorithm()) {
    set_conv2d_algorithm(algorithm);
  }
  ~AlgorithmScope() { set_conv2d_algorithm(before_); }
  AlgorithmScope(const AlgorithmScope&) = delete;
  AlgorithmScope& operator=(const AlgorithmScope&) = delete;

 private:
  Conv2dAlgorithm before_;
};

/// Moves the bias of every gated block so that it is closed for `sparsity` of these images: one
/// block after the other, for what they are fed depends on those before.
void close_blocks(Network& network, double sparsity, const Variable& images) {
  const nn::EvalScope eval(*network.module);
  for (const nn::PlacedGate& one : nn::placed_gates(*network.module)) {
    if (one.layer != nullptr) continue;
    const auto rule = one.decision->block_rule();
    ESPALIER_CHECK(rule.has_value(),
                   NotImplemented,
                   "bench: the gate of ",
                   one.name,
                   " does not tell how it decides");
    const nn::TracedRun run = nn::trace_run(*network.module, images);
    const auto call = std::ranges::find(
        run.graph.calls, static_cast<nn::Module*>(one.part), &nn::GraphCall::module);
    std::vector<double> logits =
        nn::block_logits(*rule, run.values[static_cast<size_t>(call->input)].value());
    std::ranges::sort(logits);
    const auto closed =
        std::min(logits.size(),
                 static_cast<size_t>(std::llround(sparsity * static_cast<double>(logits.size()))));
    // Between the last that closes and the first that opens.
    const double edge = closed == 0               ? logits.front() - 1.0
                        : closed == logits.size() ? logits.back() + 1.0
                                                  : 0.5 * (logits[closed - 1] + logits[closed]);
    for (const nn::NamedParameter& p : one.decision->named_parameters()) {
      Tensor& bias = p.parameter->value.value();
      if (p.name == "bias") bias.data<float>()[bias.numel() - 1] -= static_cast<float>(edge);
    }
  }
}

}  // namespace

void mask_randomly(Network& network, const RandomMask& mask) {
  prune::PruneSettings settings;
  settings.sparsity = prune::Sparsity(mask.sparsity);
  settings.pattern = mask.pattern;
  // An N:M pattern leaves nothing to divide.
  if (prune::make_pattern(mask.pattern)->cell().size == 0) {
    settings.options = {{"allocation", mask.allocation}};
  }
  const auto pruner =
      prune::make_pruner("random", settings, {.input_shape = network.sample(), .seed = mask.seed});
  pruner->prune(*network.module, nullptr, settings.final());
}

void gate_randomly(Network& network, const std::string& method, double sparsity, uint64_t seed) {
  ESPALIER_CHECK(prune::method(method).when == prune::When::Runtime,
                 ValueError,
                 "bench: ",
                 method,
                 " has no gates: it is no method at run time");
  prune::PruneSettings settings;
  settings.sparsity = prune::Sparsity(sparsity);
  // Thresholds that a training would have drawn to their target.
  const auto& options = prune::method(method).options;
  if (std::ranges::find(options, "threshold-start", &Option::name) != options.end()) {
    settings.options = {{"threshold-start", "target"}};
  }
  prune::make_pruner(method, settings, {.input_shape = network.sample(), .seed = seed})
      ->attach(*network.module);
  for (const nn::PlacedGate& one : nn::placed_gates(*network.module)) {
    auto* gate = dynamic_cast<nn::Saliency*>(one.decision);
    if (gate == nullptr) continue;
    const auto kept = std::llround((1.0 - sparsity) * static_cast<double>(gate->kept()));
    gate->keep(std::max<int64_t>(1, kept));
  }
  // Enough passes for the running statistics to forget where they began.
  constexpr int kPasses = 40;
  constexpr int64_t kBatch = 16;
  const Variable images(random_images(network, kBatch));
  const NoGrad no_grad;
  network.module->train();
  for (int pass = 0; pass < kPasses; ++pass) (*network.module)(images);
  close_blocks(network, sparsity, images);
}

Tensor random_images(const Network& network, int64_t batch) {
  const Shape image = network.sample();
  ESPALIER_CHECK(image.rank() == 3,
                 ValueError,
                 "bench: expects a network that is fed images, (C,H,W), got ",
                 network.name,
                 ", which is fed ",
                 image);
  Tensor plain = Tensor::empty({batch, image[0], image[1], image[2]});
  Rng rng(1, "bench");
  fill_normal_(plain, rng, 0.0, 1.0);
  return plain.to(Layout::Nchw16n);
}

StepBench::StepBench(Network network, int64_t batch) : network_(std::move(network)) {
  set_up(random_images(network_, batch));
}

StepBench::StepBench(Network network, const Tensor& images) : network_(std::move(network)) {
  set_up(images.to(Layout::Nchw16n));
}

void StepBench::set_up(Tensor images) {
  images_ = std::move(images);
  labels_ = Tensor::empty({batch()}, DType::I64);
  for (int64_t i = 0; i < batch(); ++i) {
    labels_.data<int64_t>()[i] = i % network_.options.num_classes;
  }
  optimizer_ = std::make_unique<nn::Sgd>(*network_.module, kSgd, kWeightDecay);
  const nn::NetworkGraph graph = nn::trace_network(*network_.module, Variable(images_));
  nn::check_calls(*network_.module, graph);
  int64_t first = 0;
  for (const nn::GraphCall* call : graph.layer_calls()) {
    const int64_t macs = graph.own_macs(*call);
    infer_macs_ += macs;
    if (first == 0) first = macs;
  }
  train_macs_ = 3 * infer_macs_ - first;
  if (nn::is_gated(*network_.module)) {  // traced, they compute everything
    images_ = images_.to(Layout::Nchw);
    const MacCounter executed;
    infer()();
    infer_macs_ = executed.macs();
  }
}

Side by_algorithm(Conv2dAlgorithm algorithm, Side side) {
  return [algorithm, side = std::move(side)] {
    const AlgorithmScope scope(algorithm);
    return side();
  };
}

std::vector<nn::LayerExplanation> StepBench::explain() {
  return nn::explain(*network_.module, Variable(images_));
}

Side StepBench::train_step() {
  return timed([this] {
    network_.module->train();
    optimizer_->zero_grad();
    const SavedAsScope keeps(saved_as_);
    const Variable loss = cross_entropy((*network_.module)(Variable(images_)), labels_);
    loss.backward();
    optimizer_->step();
  });
}

Side StepBench::mask_update() {
  const Side step = train_step();
  const Side with_update = timed([this, step] {
    std::vector<nn::Parameter*> masked;
    for (const nn::NamedParameter& p : network_.module->named_parameters()) {
      if (p.parameter->masked()) masked.push_back(p.parameter);
    }
    for (nn::Parameter* p : masked) p->grad_request = sparse::GradRequest::Dense;
    step();
    for (nn::Parameter* p : masked) {
      p->grad_request = sparse::GradRequest::Masked;
      p->set_mask(p->mask().clone());
    }
    step();
  });
  return [step, with_update] {
    const double plain = step() + step();
    return with_update() - plain;
  };
}

Side StepBench::infer() {
  return timed([this] {
    const nn::EvalScope eval(*network_.module);
    const NoGrad no_grad;
    (*network_.module)(Variable(images_));
  });
}

Side StepBench::infer_one_by_one(nn::PlanFormat format) {
  nn::InferencePlan plan = compile_network(network_, 1, format, plan_weights_);
  Tensor output = Tensor::empty(plan.output_shape().inserted(0, batch()));
  compiled_.push_back(std::make_unique<Compiled>(Compiled{std::move(plan), std::move(output)}));
  return timed([own = compiled_.back().get(), images = images_.to(Layout::Nchw).contiguous()] {
    const nn::InferencePlan& plan = own->plan;
    for (int64_t n = 0; n < images.size(0); ++n) {
      plan.run(images.data<float>() + n * plan.input_shape().numel(),
               1,
               own->output.data<float>() + n * plan.output_shape().numel());
    }
  });
}

Side StepBench::infer_compiled(nn::PlanFormat format, std::optional<Conv2dAlgorithm> dense) {
  const AlgorithmScope scope(dense.value_or(conv2d_algorithm()));
  nn::InferencePlan plan = compile_network(network_, batch(), format, plan_weights_);
  Tensor output =
      Tensor::empty(plan.output_shape().inserted(0, batch()), DType::F32, Layout::Nchw16n);
  compiled_in_planes_ = plan.runs_in_planes(batch());
  const Tensor images = images_.to(compiled_in_planes_ ? Layout::Nchw : Layout::Nchw16n);
  const MacCounter executed;
  plan.run(images, output);
  compiled_macs_ = executed.macs();
  compiled_.push_back(std::make_unique<Compiled>(Compiled{std::move(plan), std::move(output)}));
  return timed([images, own = compiled_.back().get()] { own->plan.run(images, own->output); });
}

}  // namespace espalier::experiments::timing
