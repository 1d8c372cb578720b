// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/joint_loss.h>

#include <algorithm>

#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/activations.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/layers/flatten.h>
#include <espalier/nn/layers/linear.h>
#include <espalier/nn/layers/pooling.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/nn/module/init.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/objective.h>
#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/ground/as_double.h>

namespace espalier::prune {
namespace {

constexpr size_t kNoStage = static_cast<size_t>(-1);

/// Keeps what the layers of some weights give, with its tape.
class OutputListener : public nn::CallListener {
 public:
  explicit OutputListener(std::vector<const nn::Parameter*> weights)
      : outputs(weights.size()), weights_(std::move(weights)) {}
  void enter(nn::Module&, const Variable&) override {}
  void leave(nn::Module& module, const Variable& input, const Variable& output) override {
    const auto product = module.weight_product(input.shape(), input.layout());
    if (!product) return;
    for (size_t w = 0; w < weights_.size(); ++w) {
      if (weights_[w] == product->weight) outputs[w] = output;
    }
  }

  std::vector<Variable> outputs;

 private:
  std::vector<const nn::Parameter*> weights_;
};

/// Planes of one position for outputs of a linear layer.
Variable as_planes(const Variable& features) {
  if (features.rank() == 4) return features;
  return reshape(features, {features.shape()[0], features.shape()[1], 1, 1});
}

}  // namespace

/// Of one run of a network.
struct JointLoss::Outputs {
  Variable logits;  // a row for each label
  Variable layer;   // of the weight turned to, or what was asked for in its place
  Variable stage;   // of the last layer of the stage; undefined in the last

  Outputs(nn::Module& net,
          const data::Batch& batch,
          const nn::Parameter* layer_weight,
          const nn::Parameter* stage_weight) {
    OutputListener listener({layer_weight, stage_weight});
    const nn::CallScope scope(listener);
    logits = nn::class_rows(net(Variable(batch.images)));
    layer = listener.outputs[0];
    stage = listener.outputs[1];
  }
};

JointLoss::JointLoss(nn::Module& model,
                     nn::Module& original,
                     std::vector<nn::NamedParameter> weights,
                     const PruneInputs& inputs,
                     int64_t count,
                     const JointLossOptions& options,
                     std::vector<std::string>& notes)
    : model_(model),
      original_(original),
      inputs_(inputs),
      options_(options),
      notes_(notes),
      count_(count),
      stage_(kNoStage) {
  for (const auto& stage : calibration_stages(model, weights, inputs.batch(0), Stage::Layer)) {
    order_.push_back(stage.front());
  }
  const auto layers = static_cast<int64_t>(order_.size());
  const int64_t heads = options.lambda > 0.0 ? options.heads : 0;
  for (int64_t head = 1; head <= heads; ++head) {
    const int64_t end = head * layers / (heads + 1);  // layers up to it
    if (end == 0 || (!ends_.empty() && ends_.back() + 1 == static_cast<size_t>(end))) continue;
    ends_.push_back(static_cast<size_t>(end - 1));
  }
}

JointLoss::~JointLoss() = default;

void JointLoss::turn_to(const nn::NamedParameter& reader) {
  const auto place = std::ranges::find(order_, reader.name, &nn::NamedParameter::name);
  ESPALIER_CHECK(
      place != order_.end(), ValueError, "joint loss: no layer of a stage has ", reader.name);
  const nn::EvalScope flags(model_);
  let_go();
  for (int64_t index = 0; index < count_; ++index) pass_.push_back(inputs_.batch(index));
  const auto layer = static_cast<size_t>(place - order_.begin());
  const auto stage = static_cast<size_t>(std::ranges::lower_bound(ends_, layer) - ends_.begin());
  if (options_.lambda > 0.0 && stage != stage_) begin_stage(stage);
  reader_ = reader;
  const nn::EvalScope eval(original_);
  const NoGrad no_grad;
  for (const data::Batch& batch : pass_) {
    const Outputs outputs(original_, batch, &original_.parameter(reader.name), nullptr);
    wanted_.push_back(outputs.layer.value());
  }
}

std::unique_ptr<nn::Module> JointLoss::make_head(size_t stage) {
  if (stage == ends_.size()) return nullptr;
  const nn::NamedParameter& last = order_[ends_[stage]];
  const NoGrad no_grad;
  const Outputs outputs(model_, pass_.front(), nullptr, last.parameter);
  const Variable& features = outputs.stage;
  if (features.rank() != 4 && features.rank() != 2) {
    notes_.push_back(cat("there is no auxiliary loss behind ",
                         last.name,
                         ", whose outputs ",
                         features.shape(),
                         " are neither images nor vectors: the network's own is in its place"));
    return nullptr;
  }
  const int64_t channels = features.shape()[1];
  auto head = std::make_unique<nn::Sequential>(
      nn::BatchNorm2d({.channels = channels}),
      nn::ReLU(),
      nn::AdaptiveAvgPool2d(1),
      nn::Flatten(),
      nn::Linear({.in = channels, .out = outputs.logits.shape()[1]}));
  nn::init_parameters(*head, Rng(inputs_.seed, "auxiliary head").fork(stage).next_u32());
  head->to(features.dtype());
  return head;
}

void JointLoss::begin_stage(size_t stage) {
  stage_ = stage;
  head_ = make_head(stage);
  std::vector<nn::ParameterGroup> groups = nn::parameter_groups(model_, options_.weight_decay);
  if (head_) {
    for (const nn::NamedParameter& one : head_->named_parameters()) {
      groups.front().parameters.push_back({"auxiliary head." + one.name, one.parameter});
    }
  }
  nn::SgdOptions options = options_.sgd;
  options.lr = options_.warmup_rate;
  nn::Sgd sgd(std::move(groups), options);
  model_.train();
  const RecordingScope recording(true);
  for (int64_t step = 0; step < options_.warmup; ++step) {
    const data::Batch batch = inputs_.batch(next_batch_++);
    sgd.zero_grad();
    const Outputs outputs(
        model_, batch, nullptr, head_ ? order_[ends_[stage_]].parameter : nullptr);
    Variable total = loss_of(outputs.logits, batch);
    if (head_) total = total + auxiliary(outputs, batch);
    total.backward();
    sgd.step();
  }
  sgd.zero_grad();
  model_.eval();
  if (head_) head_->eval();
}

Variable JointLoss::loss_of(const Variable& logits, const data::Batch& batch) const {
  return inputs_.loss ? inputs_.loss(logits, batch.labels) : cross_entropy(logits, batch.labels);
}

Variable JointLoss::auxiliary(const Outputs& outputs, const data::Batch& batch) {
  if (!head_) return loss_of(outputs.logits, batch);
  return loss_of((*head_)(as_planes(outputs.stage)), batch);
}

Variable JointLoss::loss(size_t batch) {
  const nn::Parameter* end = head_ ? order_[ends_[stage_]].parameter : nullptr;
  const Outputs outputs(model_, pass_[batch], reader_.parameter, end);
  const Variable lost = mse_loss(outputs.layer, Variable(wanted_[batch])) * 0.5;
  if (options_.lambda == 0.0) return lost;
  return lost + auxiliary(outputs, pass_[batch]) * options_.lambda;
}

JointLoss::Slope JointLoss::slope() {
  const nn::EvalScope eval(model_);
  const RecordingScope recording(true);
  Slope mean{.gradient = Tensor::zeros(reader_.parameter->shape(), DType::F64)};
  const auto count = static_cast<double>(pass_.size());
  for (size_t b = 0; b < pass_.size(); ++b) {
    const Variable of_batch = loss(b);
    mean.loss += of_batch.value().to_vector<double>().front() / count;
    const Tensor gradient = as_double(grad({of_batch}, {reader_.parameter->value}).front().value());
    for (int64_t i = 0; i < gradient.numel(); ++i) {
      mean.gradient.data<double>()[i] += gradient.data<double>()[i] / count;
    }
  }
  return mean;
}

void JointLoss::let_go() {
  pass_.clear();
  wanted_.clear();
}

void JointLoss::descend() {
  const nn::EvalScope eval(model_);
  const RecordingScope recording(true);
  nn::Sgd sgd({{.parameters = {reader_}, .weight_decay = options_.weight_decay}}, options_.sgd);
  for (size_t b = 0; b < pass_.size(); ++b) {
    reader_.parameter->value.set_grad(grad({loss(b)}, {reader_.parameter->value}).front());
    sgd.step();
  }
  sgd.zero_grad();
}

}  // namespace espalier::prune
