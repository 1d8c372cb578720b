// SPDX-License-Identifier: Apache-2.0
// Writes a plan whose results are known: out = (sum of a 1x2x2 image, -2 times that), then ReLU.
#include <cstdio>

#include <espalier/nn/layers.h>
#include <espalier/nn/plan/plan.h>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  using namespace espalier;
  try {
    nn::Linear linear({.in = 4, .out = 2});
    linear.weight.value.value().copy_(Tensor::from<float>({2, 4}, {1, 1, 1, 1, -2, -2, -2, -2}));
    linear.bias.value.value().fill_(0.0);
    nn::Sequential net;
    net.add("flatten", nn::Flatten());
    net.add("fc", std::move(linear));
    net.add("relu", nn::ReLU());
    nn::compile(net, Variable(Tensor::zeros({16, 1, 2, 2}))).save(argv[1]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 0;
}
