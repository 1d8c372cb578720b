// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/plan/steps/one_sample.h>

#include <algorithm>

#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/layers/embedding.h>

namespace espalier::nn::plan {

Tensor plain_tensor(const Tensor& tensor) {
  return tensor.to(DType::F32).to(Layout::Nchw).clone();
}

const NetworkGraph& OneSample::alone() {
  if (!alone_) {
    const Tensor first = input_.value().to(Layout::Nchw).slice(0, 0, 1).clone();
    alone_ = trace_network(model_, Variable(first.to(input_.layout())));
    const bool same =
        std::ranges::equal(alone_->ops, network_.ops, [](const GraphOp& a, const GraphOp& b) {
          return a.name == b.name;
        });
    ESPALIER_CHECK(same && alone_->calls.size() == network_.calls.size(),
                   NotImplemented,
                   "compile: the network runs other ops for one sample than for ",
                   network_.value(network_.input).shape[0]);
  }
  return *alone_;
}

Tensor OneSample::constant(int value, int at, std::string& why_not) const {
  const Tensor& all = network_.value(value).constant;
  const Tensor& one = alone_->value(at).constant;
  if (!all.defined() || !one.defined() || !is_floating(one.dtype())) {
    why_not = "reads a constant that is no float";
    return {};
  }
  Tensor out = plain_tensor(one);
  if (all.shape() == one.shape()) return out;
  // Made for the batch, as a class token that is repeated for each sample.
  const std::vector<double> repeated = all.to_vector<double>();
  const std::vector<double> once = one.to_vector<double>();
  bool repeats = !once.empty() && repeated.size() % once.size() == 0;
  for (size_t i = 0; repeats && i < repeated.size(); ++i) {
    repeats = repeated[i] == once[i % once.size()];
  }
  if (!repeats) why_not = "reads a constant that differs between samples";
  return out;
}

OneSample::Call OneSample::call(const GraphOp& op, FunctionRef<bool(int)> is_value) {
  const auto number = static_cast<size_t>(&op - network_.ops.data());
  const GraphOp& one = alone().ops[number];
  Call made{.plain = {.op = one.name, .attributes = one.attributes}};
  std::vector<Shape> shapes;
  for (size_t i = 0; i < op.inputs.size(); ++i) {
    if (op.inputs[i] < 0) continue;  // a bias that there isn't; those who have one have it last
    made.inputs.push_back(op.inputs[i]);
    shapes.push_back(network_.value(op.inputs[i]).shape);
    made.plain.operands.push_back(alone_->value(one.inputs[i]).shape);
    made.plain.constants.push_back(
        is_value(op.inputs[i]) ? Tensor() : constant(op.inputs[i], one.inputs[i], made.why_not));
  }
  made.plain.output = alone_->value(one.output).shape;
  if (made.why_not.empty()) {
    made.why_not = why_it_mixes(made.plain, shapes, network_.value(op.output).shape);
  }
  return made;
}

OneSample::Call OneSample::embedding(const GraphCall& layer) {
  const auto number = static_cast<size_t>(&layer - network_.calls.data());
  const GraphCall& one = alone().calls[number];
  const Tensor table =
      plain_tensor(dynamic_cast<const Embedding&>(*layer.module).weight.value.value());
  Call made{.plain = {.op = "embedding",
                      .operands = {alone_->value(one.input).shape, table.shape()},
                      .constants = {Tensor(), table},
                      .output = alone_->value(one.output).shape},
            .inputs = {layer.input, -1}};
  const std::vector<Shape> shapes = {network_.value(layer.input).shape, table.shape()};
  made.why_not = why_it_mixes(made.plain, shapes, network_.value(layer.output).shape);
  return made;
}

}  // namespace espalier::nn::plan
