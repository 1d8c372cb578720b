// SPDX-License-Identifier: Apache-2.0
// The graph of a network, against small networks whose ops, calls and counts are known.
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/layers.h>

namespace espalier::nn {
namespace {

/// conv (2 -> 3, 3x3, stride 2) -> relu -> sum over the plane -> fc (3 -> 2), plus a table.
class Small : public Module {
 public:
  Small() : fc({.in = 3, .out = 2}) {
    body.add(Conv2d({.in_channels = 2, .out_channels = 3, .kernel = 3, .stride = 2, .padding = 1}));
  }
  Variable forward(const Variable& x) override {
    const Variable y = relu(body(x));
    return fc(sum(y, {2, 3})) + Variable(Tensor::ones({2}));
  }
  void visit(MemberVisitor& visitor) override {
    visitor.module("body", body);
    visitor.module("fc", fc);
  }
  std::string describe() const override { return "Small"; }

  Sequential body;
  Linear fc;

 protected:
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Small>(*this); }
};

Variable images(int64_t count = 2) {
  return Variable(Tensor::ones({count, 2, 4, 4}));
}

std::vector<std::string> op_names(const NetworkGraph& graph) {
  std::vector<std::string> names;
  for (const GraphOp& op : graph.ops) names.push_back(op.name);
  return names;
}

TEST(NetworkGraph, ListsOpsInTheOrderOfTheRunWithNamedAttributes) {
  Small net;
  const NetworkGraph graph = trace_network(net, images());
  ASSERT_EQ(op_names(graph), (std::vector<std::string>{"conv2d", "relu", "sum", "linear", "add"}));
  const OpAttributes& conv = graph.ops[0].attributes;
  EXPECT_EQ(conv.pair("stride"), Pair(2));
  EXPECT_EQ(conv.pair("padding"), Pair(1));
  EXPECT_EQ(conv.integer("groups"), 1);
  EXPECT_EQ(graph.ops[2].attributes.integers("dims"), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(graph.ops[2].rule(), OpRule::Reduction);
}

TEST(NetworkGraph, ValuesAreTiedByTheirNumbers) {
  Small net;
  const NetworkGraph graph = trace_network(net, images());
  EXPECT_EQ(graph.ops[0].inputs[0], graph.input);
  EXPECT_EQ(graph.ops[1].inputs[0], graph.ops[0].output);
  EXPECT_EQ(graph.ops[4].output, graph.output);
  const GraphValue& plane = graph.value(graph.ops[0].output);
  EXPECT_EQ(plane.shape, (Shape{2, 3, 2, 2}));
  EXPECT_EQ(plane.origin, ValueOrigin::Op);
  EXPECT_EQ(plane.made_by, 0);
  EXPECT_TRUE(plane.from_input);
  EXPECT_EQ(graph.value(graph.input).origin, ValueOrigin::Input);
}

TEST(NetworkGraph, ParametersHaveTheirNamesAndConstantsTheirNumbers) {
  Small net;
  const NetworkGraph graph = trace_network(net, images());
  const GraphValue& weight = graph.value(graph.ops[0].inputs[1]);
  EXPECT_EQ(weight.origin, ValueOrigin::Parameter);
  EXPECT_EQ(weight.name, "body.0.weight");
  EXPECT_FALSE(weight.from_input);
  EXPECT_EQ(weight.constant.to_vector<float>(),
            net.parameter("body.0.weight").value.value().to_vector<float>());
  const GraphValue& ones = graph.value(graph.ops[4].inputs[1]);
  EXPECT_EQ(ones.origin, ValueOrigin::Constant);
  EXPECT_EQ(ones.constant.to_vector<float>(), (std::vector<float>{1, 1}));
  EXPECT_FALSE(graph.value(graph.output).constant.defined());  // activations are not kept
}

TEST(NetworkGraph, CallsNestAndCountWhatTheirKernelsDid) {
  Small net;
  const NetworkGraph graph = trace_network(net, images());
  ASSERT_EQ(graph.calls.size(), 4u);  // the network, body, body.0, fc
  EXPECT_EQ(graph.calls[0].name, "");
  EXPECT_EQ(graph.calls[0].parent, -1);
  EXPECT_EQ(graph.calls[2].name, "body.0");
  EXPECT_EQ(graph.calls[2].parent, 1);
  EXPECT_EQ(graph.ops[0].call, 2);
  EXPECT_EQ(graph.ops[1].call, 0);
  // Two images of 2x2 positions, 3 filters of 2*3*3 weights; and two rows of 2x3 weights.
  EXPECT_EQ(graph.calls[2].macs, 2 * 4 * 3 * 18);
  EXPECT_EQ(graph.calls[3].macs, 2 * 6);
  EXPECT_EQ(graph.calls[0].macs, 2 * 4 * 3 * 18 + 2 * 6);
  const std::vector<const GraphCall*> layers = graph.layer_calls();
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers[0]->name, "body.0");
  EXPECT_EQ(layers[1]->name, "fc");
}

TEST(NetworkGraph, StepsLeaveOutWhatHappensInsideOfWholeCalls) {
  Small net;
  const NetworkGraph graph = trace_network(net, images());
  const auto text = [&](const std::vector<GraphStep>& steps) {
    std::string all;
    for (const GraphStep& step : steps) {
      all += step.op >= 0 ? graph.op(step.op).name : "(" + graph.call(step.call).name + ")";
      all += " ";
    }
    return all;
  };
  EXPECT_EQ(text(graph.steps([](const GraphCall&) { return false; })),
            "conv2d (body.0) (body) relu sum linear (fc) add () ");
  EXPECT_EQ(text(graph.steps([](const GraphCall& call) { return call.is_layer(); })),
            "(body.0) (body) relu sum (fc) add () ");
  EXPECT_EQ(text(graph.steps([](const GraphCall& call) { return call.name == "body"; })),
            "(body) relu sum linear (fc) add () ");
}

TEST(NetworkGraph, LeavesTheNetworkAsItWas) {
  Small net;
  net.fc.train(false);
  trace_network(net, images());
  EXPECT_TRUE(net.training());
  EXPECT_TRUE(net.body.training());
  EXPECT_FALSE(net.fc.training());
}

TEST(NetworkGraph, WhatALayerMakesOfTokensDependsOnThem) {
  // The op of an embedding reads its table alone: the tokens are numbers of rows.
  Sequential net(Embedding({.count = 5, .dim = 3}), ReLU());
  const NetworkGraph graph = trace_network(net, Variable(Tensor::zeros({1, 2}, DType::I64)));
  EXPECT_TRUE(graph.value(graph.output).from_input);
  EXPECT_FALSE(graph.value(graph.output).constant.defined());
}

TEST(NetworkGraph, ATracedRunKeepsValuesForDerivatives) {
  Small net;
  const TracedRun run = trace_run(net, images());
  const Variable& plane = run.values[static_cast<size_t>(run.graph.ops[1].output)];
  const std::vector<Variable> gradient = grad({sum(run.output)}, {plane});
  // d sum(fc(sum over the plane)) / d plane: the column sums of fc's weight, at every position.
  const std::vector<float> w = net.fc.weight.value.value().to_vector<float>();
  for (int64_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(gradient[0].value().at({0, c, 1, 1}), w[size_t(c)] + w[size_t(3 + c)], 1e-6);
  }
}

TEST(NetworkGraph, AModuleThatNoVisitNamesHasNoName) {
  class Hidden : public Module {
   public:
    Variable forward(const Variable& x) override { return hidden(x); }
    void visit(MemberVisitor&) override {}
    std::string describe() const override { return "Hidden"; }
    ReLU hidden;

   protected:
    std::unique_ptr<Module> shallow_copy() const override {
      return std::make_unique<Hidden>(*this);
    }
  };
  Hidden net;
  const NetworkGraph graph = trace_network(net, images());
  EXPECT_FALSE(graph.calls[1].named);
  EXPECT_THROW(graph.layer_calls(), ValueError);
}

TEST(NetworkGraph, ALayerThatRunsPastItsCallIsAnError) {
  class Open : public Linear {
   public:
    using Linear::Linear;
    Variable forward(const Variable& x) override { return Linear::forward(x); }
  };
  class Around : public Module {
   public:
    Variable forward(const Variable& x) override { return part.forward(flatten(x)); }
    void visit(MemberVisitor& visitor) override { visitor.module("part", part); }
    std::string describe() const override { return "Around"; }
    Open part{Linear::Options{.in = 32, .out = 2}};

   protected:
    std::unique_ptr<Module> shallow_copy() const override {
      return std::make_unique<Around>(*this);
    }
  };
  Around net;
  const NetworkGraph graph = trace_network(net, images());
  EXPECT_THROW(check_calls(net, graph), ValueError);
  Small called;
  check_calls(called, trace_network(called, images()));
}

}  // namespace
}  // namespace espalier::nn
