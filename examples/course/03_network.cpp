// SPDX-License-Identifier: Apache-2.0
// Chapter 3 of the course (docs/03_network.md): a layer, a network, and what they cost.
#include <espalier/core/random.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/introspect/summary.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/module/init.h>
#include "facts.h"

using namespace espalier;

namespace {

void a_layer(course::Facts& facts) {
  std::puts("A linear layer: y = x W^T + b");
  nn::Linear layer({.in = 2, .out = 3});
  layer.weight.value.value().copy_(Tensor::from<float>({3, 2}, {1, 2, 3, 4, 5, 6}));
  layer.bias.value.value().copy_(Tensor::from<float>({3}, {0, 10, 20}));
  const Variable y = layer(Variable(Tensor::from<float>({1, 2}, {1, -1})));
  facts.check(y.value().to_vector<float>() == std::vector<float>{-1, 9, 19},
              "(1 - 2, 3 - 4, 5 - 6) + (0, 10, 20)");
}

/// Convolution, batch norm with ReLU, the mean of every plane, and a linear layer.
class TinyNet : public nn::Module {
 public:
  Variable forward(const Variable& x) override {
    return fc_(flatten_(pool_(norm_(conv_(x)))));  // parts are called, so that tracing sees them
  }
  void visit(nn::MemberVisitor& visitor) override {
    visitor.module("conv", conv_);
    visitor.module("norm", norm_);
    visitor.module("pool", pool_);
    visitor.module("flatten", flatten_);
    visitor.module("fc", fc_);
  }
  std::string describe() const override { return "TinyNet"; }

 protected:
  std::unique_ptr<nn::Module> shallow_copy() const override {
    return std::make_unique<TinyNet>(*this);
  }

 private:
  nn::Conv2d conv_{
      {.in_channels = 3, .out_channels = 8, .kernel = 3, .stride = 2, .padding = 1, .bias = false}};
  nn::BatchNorm2d norm_{{.channels = 8, .relu = true}};
  nn::AdaptiveAvgPool2d pool_;
  nn::Flatten flatten_;
  nn::Linear fc_{{.in = 8, .out = 10}};
};

void names(course::Facts& facts) {
  std::puts("visit() names the members, and everything else follows");
  TinyNet net;
  std::string all;
  for (const nn::NamedParameter& p : net.named_parameters()) all += p.name + " ";
  facts.check(all == "conv.weight norm.weight norm.bias fc.weight fc.bias ", all);
  facts.check(net.parameter("conv.weight").shape() == Shape{8, 3, 3, 3},
              "conv.weight is (outputs, inputs, height, width)");

  nn::init_parameters(net, /*seed=*/1);
  const auto other = net.clone();
  nn::init_parameters(*other, 2);
  facts.check(course::largest_difference(net.parameter("fc.weight").value.value(),
                                         other->parameter("fc.weight").value.value()) > 0.0,
              "a clone has weights of its own");
  nn::init_parameters(*other, 1);
  facts.check(course::largest_difference(net.parameter("fc.weight").value.value(),
                                         other->parameter("fc.weight").value.value()) == 0.0,
              "the same seed gives the same weights");
}

void cost(course::Facts& facts) {
  std::puts("What it costs");
  TinyNet net;
  const nn::ModelCount count = nn::count_model(net, Shape{3, 32, 32});
  // 8 filters of 3*3*3, scale and shift of 8 channels, 10 rows of 8 with a bias.
  facts.check(count.total.params == 8 * 27 + 2 * 8 + 10 * 8 + 10, "322 parameters");
  // Stride 2 makes 16x16 positions of 32x32; the linear layer runs once.
  facts.check(count.total.macs_dense == 16 * 16 * 8 * 27 + 80,
              "55,376 multiply-accumulates for one image");
  std::printf("%s", nn::summary(net, {3, 32, 32}).c_str());
}

void layouts(course::Facts& facts) {
  std::puts("A network takes both layouts, and keeps the one it gets");
  TinyNet net;
  nn::init_parameters(net, 1);
  net.eval();
  Tensor images = Tensor::empty({17, 3, 32, 32});
  Rng rng(1, "images");
  fill_normal_(images, rng);
  const Tensor plain = net(Variable(images)).value();
  const Tensor lanes = net(Variable(images.to(Layout::Nchw16n))).value();
  facts.check(lanes.layout() == Layout::Nchw16n && lanes.shape() == Shape{17, 10},
              "(17,3,32,32) in sixteen lanes becomes (17,10) in sixteen lanes");
  facts.check(course::largest_difference(plain, lanes) < 1e-4, "with the same numbers");
}

}  // namespace

int main() {
  course::Facts facts;
  a_layer(facts);
  names(facts);
  cost(facts);
  layouts(facts);
  return facts.exit_code();
}
