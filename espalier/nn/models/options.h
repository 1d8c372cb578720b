// SPDX-License-Identifier: Apache-2.0
/// What can be chosen of a model of the zoo. The names of models are in registry.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <espalier/data/dataset.h>

namespace espalier::nn {

/// How a residual network passes its input on where the number of channels changes.
/// Source: He et al., arXiv:1512.03385, section 3.3.
enum class Shortcut : uint8_t {
  A,  ///< every second pixel, new channels zero: no parameters (the paper's choice for CIFAR)
  B,  ///< 1x1 convolution and batch norm
};

/// For images of which size the first layers of a network, and its strides, are made.
enum class Stem : uint8_t {
  Small,  ///< 32x32: a 3x3 convolution that keeps the size
  /// 224x224, as the papers have it: the first convolution halves the sides. Of ResNet it is 7x7
  /// with a 3x3 max pool behind it; MobileNetV2 halves once more in its second row (table 2).
  ImageNet,
};

/// What can be chosen of a model besides its name.
struct ModelOptions {
  /// Outputs; for language models the size of the vocabulary.
  int64_t num_classes = 10;
  /// The size of the images (language models: unused).
  data::ImageShape image = {};
  /// Initial weights are a pure function of the seed.
  uint64_t seed = 0;
  /// Multiplies the hidden channels (rounded, at least 1) of VGG, ResNet, WRN and MobileNetV2.
  double width = 1.0;
  /// For resnet20 .. resnet110; others have none or always B.
  Shortcut shortcut = Shortcut::A;
  /// For resnet18, resnet34, resnet50 and mobilenetv2; others have one.
  Stem stem = Stem::Small;
  /// Tokens of a language model's longest text.
  int64_t context = 64;
  /// What the outputs stand for, `num_classes` names; empty when not known. Kept in model files, so
  /// that a network is not counted right or wrong under the names of other data.
  std::vector<std::string> class_names = {};
};

}  // namespace espalier::nn
