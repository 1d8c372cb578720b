// SPDX-License-Identifier: Apache-2.0
#include "support.h"

#include <espalier/nn/introspect/summary.h>

namespace espalier::nn {
namespace {

// A model with members by value, by typed pointer, and a parameter of its own.
class Branchy : public Module {
 public:
  Variable forward(const Variable& x) override { return x; }
  void visit(MemberVisitor& visitor) override {
    visitor.parameter("scale", scale);
    visitor.module("stem", stem);
    visitor.part("left", left);
    visitor.part("right", right);
    visitor.part("none", none);
  }
  std::string describe() const override { return "Branchy"; }

  Parameter scale{Tensor::ones({2})};
  Linear stem{{.in = 2, .out = 2}};
  std::shared_ptr<Linear> left = std::make_shared<Linear>(Linear::Options{.in = 2, .out = 3});
  std::shared_ptr<Module> right = std::make_shared<ReLU>();
  std::shared_ptr<Module> none;

 protected:
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Branchy>(*this); }
};

// Names whatever it is told to.
class Named : public Module {
 public:
  explicit Named(std::vector<std::string> names)
      : names_(std::move(names)), parts_(names_.size()) {}
  Variable forward(const Variable& x) override { return x; }
  void visit(MemberVisitor& visitor) override {
    for (size_t i = 0; i < names_.size(); ++i) visitor.module(names_[i], parts_[i]);
  }
  std::string describe() const override { return "Named"; }

 protected:
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<Named>(*this); }

 private:
  std::vector<std::string> names_;
  std::vector<ReLU> parts_;
};

std::vector<std::string> parameter_names(Module& module) {
  std::vector<std::string> names;
  for (const NamedParameter& p : module.named_parameters()) names.push_back(p.name);
  return names;
}

TEST(Module, NamesAreDottedAndDepthFirst) {
  Branchy model;
  EXPECT_EQ(
      parameter_names(model),
      (std::vector<std::string>{"scale", "stem.weight", "stem.bias", "left.weight", "left.bias"}));
  std::vector<std::string> modules;
  for (const NamedModule& part : model.named_modules()) modules.push_back(part.name);
  EXPECT_EQ(modules, (std::vector<std::string>{"", "stem", "left", "right"}));
}

TEST(Module, SequentialNamesPartsByPosition) {
  Sequential inner(ReLU(), Linear({.in = 2, .out = 2, .bias = false}));
  Sequential net(BatchNorm1d({.channels = 2}), std::move(inner));
  EXPECT_EQ(parameter_names(net), (std::vector<std::string>{"0.weight", "0.bias", "1.1.weight"}));
  std::vector<std::string> buffers;
  for (const NamedBuffer& b : net.named_buffers()) buffers.push_back(b.name);
  EXPECT_EQ(buffers, (std::vector<std::string>{"0.running_mean", "0.running_var"}));
}

TEST(Module, ANameGivenTwiceIsAnError) {
  Named model({"a", "a"});
  EXPECT_NE(message_of<ValueError>([&] { model.named_modules(); }).find("two members 'a'"),
            std::string::npos);
}

TEST(Module, ANameWithADotOrWithoutLettersIsAnError) {
  for (const char* name : {"a.b", ""}) {
    Named model({name});
    EXPECT_THROW(model.state_dict(), ValueError);
    EXPECT_THROW(Sequential().add(name, ReLU()), ValueError);
  }
}

TEST(Module, SequentialRefusesATakenNameAndStaysWhole) {
  Sequential net;
  net.add("a", ReLU());
  EXPECT_THROW(net.add("a", ReLU()), ValueError);
  EXPECT_EQ(net.size(), 1);
  EXPECT_THROW(net[1], ValueError);
}

TEST(Module, ASharedPartAppearsOnce) {
  auto shared = std::make_shared<Linear>(Linear::Options{.in = 2, .out = 2});
  Sequential net;
  net.add_shared("a", shared);
  net.add_shared("b", shared);
  EXPECT_EQ(parameter_names(net), (std::vector<std::string>{"a.weight", "a.bias"}));
}

TEST(Module, ATiedParameterAppearsOnce) {
  Sequential net(Linear({.in = 2, .out = 2, .bias = false}),
                 Linear({.in = 2, .out = 2, .bias = false}));
  dynamic_cast<Linear&>(net[1]).weight = dynamic_cast<Linear&>(net[0]).weight;
  EXPECT_EQ(parameter_names(net), (std::vector<std::string>{"0.weight"}));
}

TEST(Module, AnUnknownParameterNameBringsTheNearest) {
  Branchy model;
  EXPECT_EQ(&model.parameter("left.weight"), &model.left->weight);
  const std::string text = message_of<ValueError>([&] { model.parameter("stem.wieght"); });
  EXPECT_NE(text.find("nearest are 'stem.weight'"), std::string::npos) << text;
}

TEST(Module, TrainReachesAllParts) {
  Sequential net(ReLU(), Sequential(Dropout(0.5), ReLU()));
  net.eval();
  for (const NamedModule& part : net.named_modules()) EXPECT_FALSE(part.module->training());
  net.train();
  for (const NamedModule& part : net.named_modules()) EXPECT_TRUE(part.module->training());
}

TEST(Module, ZeroGradForgetsGradients) {
  Branchy model;
  model.scale.value.set_grad(Variable(Tensor::ones({2})));
  model.zero_grad();
  EXPECT_FALSE(model.scale.value.grad().defined());
}

TEST(Module, ToConvertsParametersAndBuffersAndKeepsTies) {
  Sequential net(
      Linear({.in = 2, .out = 2}), BatchNorm1d({.channels = 2}), Linear({.in = 2, .out = 2}));
  auto& first = dynamic_cast<Linear&>(net[0]);
  auto& last = dynamic_cast<Linear&>(net[2]);
  last.weight = first.weight;
  const std::vector<double> before = values(first.weight.value.value());
  net.to(DType::F64);
  EXPECT_EQ(first.weight.value.dtype(), DType::F64);
  EXPECT_TRUE(first.weight.value.requires_grad());
  EXPECT_EQ(values(first.weight.value.value()), before);
  EXPECT_EQ(first.weight.value.state(), last.weight.value.state());
  EXPECT_EQ(net.named_buffers()[0].buffer->dtype(), DType::F64);
  EXPECT_THROW(net.to(DType::I64), TypeError);
}

TEST(Clone, ChangesOfTheCopyDontReachTheOriginal) {
  auto net = tiny_net();
  net->parameter("fc.weight").set_mask(two_thirds_mask({3, 80}));
  (*net)[1].train(false);
  const auto before = snapshot(net->state_dict());

  const std::unique_ptr<Module> copy = net->clone();
  EXPECT_EQ(snapshot(copy->state_dict()), before);
  EXPECT_FALSE(dynamic_cast<Sequential&>(*copy)[1].training());
  EXPECT_TRUE(dynamic_cast<Sequential&>(*copy)[0].training());
  EXPECT_TRUE(copy->parameter("fc.weight").value.requires_grad());

  for (const NamedParameter& p : copy->named_parameters()) p.parameter->value.value().fill_(9.0);
  for (const NamedBuffer& b : copy->named_buffers()) b.buffer->fill_(9.0);
  copy->parameter("fc.weight").set_mask({});
  copy->parameter("conv.weight").set_mask(two_thirds_mask({5, 1, 3, 3}));
  EXPECT_EQ(snapshot(net->state_dict()), before);
}

TEST(Clone, HasNoGradients) {
  Linear layer({.in = 1, .out = 1});
  layer.weight.value.set_grad(Variable(Tensor::ones({1, 1})));
  EXPECT_FALSE(layer.clone()->parameter("weight").value.grad().defined());
  EXPECT_TRUE(layer.weight.value.grad().defined());
}

TEST(Clone, WhatWasSharedIsSharedInTheCopy) {
  auto shared = std::make_shared<Linear>(Linear::Options{.in = 2, .out = 2});
  Sequential net;
  net.add_shared("a", shared);
  net.add_shared("b", shared);
  net.add("tied", Linear({.in = 2, .out = 2}));
  dynamic_cast<Linear&>(net[2]).weight = shared->weight;
  const std::unique_ptr<Module> copy = net.clone();
  auto& parts = dynamic_cast<Sequential&>(*copy);
  EXPECT_EQ(&parts[0], &parts[1]);
  EXPECT_NE(&parts[0], shared.get());
  auto& a = dynamic_cast<Linear&>(parts[0]);
  auto& tied = dynamic_cast<Linear&>(parts[2]);
  EXPECT_EQ(a.weight.value.state(), tied.weight.value.state());
  EXPECT_NE(a.weight.value.state(), shared->weight.value.state());
}

TEST(Clone, ReachesPartsHeldByTypedPointers) {
  Branchy model;
  const std::unique_ptr<Module> copy = model.clone();
  auto& branchy = dynamic_cast<Branchy&>(*copy);
  EXPECT_NE(branchy.left, model.left);
  branchy.left->weight.value.value().fill_(5.0);
  branchy.scale.value.value().fill_(5.0);
  EXPECT_NE(model.left->weight.value.value().at({0, 0}), 5.0);
  EXPECT_EQ(model.scale.value.value().at({0}), 1.0);
}

TEST(Summary, ListsLayersWithTotals) {
  auto net = tiny_net();
  net->parameter("fc.weight").set_mask(two_thirds_mask({3, 80}));
  const std::string text = summary(*net, {1, 8, 8});
  EXPECT_NE(text.find("Conv2d(1, 5, kernel 3, padding 1, no bias)"), std::string::npos) << text;
  EXPECT_NE(text.find("(1,5,8,8)"), std::string::npos) << text;
  // Convolution 45 weights at 64 positions, classifier 240: 2880 + 240 MACs; 45 + 10 + 240 + 3
  // parameters, of which 80 are masked.
  EXPECT_NE(text.find("3,120"), std::string::npos) << text;
  EXPECT_NE(text.find("298"), std::string::npos) << text;
  EXPECT_NE(text.find("218"), std::string::npos) << text;
  EXPECT_TRUE(net->training());
}

}  // namespace
}  // namespace espalier::nn
