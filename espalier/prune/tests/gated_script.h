// SPDX-License-Identifier: Apache-2.0
/// The networks of the gates' scripts (oracles/{skipnet,convnet_aig,manidp,ftwt}.py), and what a
/// step of theirs is compared by.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <espalier/autograd/tests/oracle.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune::testing {

inline nn::Conv2d conv_of_script(int64_t in, int64_t kernel) {
  return nn::Conv2d({.in_channels = in,
                     .out_channels = 4,
                     .kernel = kernel,
                     .padding = kernel / 2,
                     .bias = false});
}

inline void add_classifier_of_script(nn::Sequential& net) {
  net.add(nn::AdaptiveAvgPool2d(1));
  net.add(nn::Flatten());
  net.add(nn::Linear({.in = 4, .out = 3}));
}

/// A stem, three residual blocks of 1x1 convolutions, a classifier.
inline std::unique_ptr<nn::Sequential> blocks_of_script() {
  auto net = std::make_unique<nn::Sequential>();
  net->add(conv_of_script(3, 3));
  net->add(nn::BatchNorm2d({.channels = 4}));
  net->add(nn::ReLU());
  for (int block = 0; block < 3; ++block) {
    auto main = std::make_shared<nn::Sequential>();
    main->add(conv_of_script(4, 1));
    main->add(nn::BatchNorm2d({.channels = 4}));
    main->add(nn::ReLU());
    main->add(conv_of_script(4, 1));
    main->add(nn::BatchNorm2d({.channels = 4}));
    net->add(nn::Residual({.main = main}));
  }
  add_classifier_of_script(*net);
  return net;
}

/// Three convolutions with batch norm, a classifier.
inline std::unique_ptr<nn::Sequential> chain_of_script() {
  auto net = std::make_unique<nn::Sequential>();
  for (const auto& [in, kernel] :
       std::vector<std::pair<int64_t, int64_t>>{{3, 3}, {4, 1}, {4, 3}}) {
    net->add(conv_of_script(in, kernel));
    net->add(nn::BatchNorm2d({.channels = 4}));
    net->add(nn::ReLU());
  }
  add_classifier_of_script(*net);
  return net;
}

/// Parameters in the scripts' order: layers, gates, classifier.
inline std::vector<nn::Parameter*> in_order_of_script(nn::Sequential& net) {
  const std::string classifier = cat(net.size() - 1, ".");
  std::vector<nn::Parameter*> layers, gates, last;
  for (const nn::NamedParameter& one : net.named_parameters()) {
    const bool gate = one.name.find(".gate.") != std::string::npos;
    (gate ? gates : one.name.starts_with(classifier) ? last : layers).push_back(one.parameter);
  }
  layers.insert(layers.end(), gates.begin(), gates.end());
  layers.insert(layers.end(), last.begin(), last.end());
  return layers;
}

/// Gives all parameters the scripts' values.
inline void fill_as_script(nn::Sequential& net) {
  int64_t place = 0;
  for (nn::Parameter* one : in_order_of_script(net)) {
    one->value.value().copy_(made(one->shape(), ++place));
  }
}

/// All gradients, one behind the other.
inline Tensor gradients_of_script(nn::Sequential& net) {
  std::vector<double> all;
  for (nn::Parameter* one : in_order_of_script(net)) {
    const std::vector<double> values = one->value.grad().value().to_vector<double>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return Tensor::from<double>({static_cast<int64_t>(all.size())}, all);
}

}  // namespace espalier::prune::testing
