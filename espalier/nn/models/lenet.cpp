// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/models/lenet.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/models/common.h>

namespace espalier::nn::models {
namespace {

// Side of the plane after conv 5x5 (no padding) and a 2x2 pool, twice.
int64_t side_after(int64_t side) {
  return ((side - 4) / 2 - 4) / 2;
}

int64_t lenet5_features(const data::ImageShape& image) {
  check_image("lenet5", image.height, image.width, 16);
  return 50 * side_after(image.height) * side_after(image.width);
}

}  // namespace

LeNet300::LeNet300(const data::ImageShape& image, int64_t classes)
    : fc1_({.in = image.numel(), .out = 300}),
      fc2_({.in = 300, .out = 100}),
      fc3_({.in = 100, .out = classes}) {}

Variable LeNet300::forward(const Variable& x) {
  Variable y = relu(fc1_(flatten(x)));
  y = relu(fc2_(y));
  return fc3_(y);
}

void LeNet300::visit(MemberVisitor& visitor) {
  visitor.module("fc1", fc1_);
  visitor.module("fc2", fc2_);
  visitor.module("fc3", fc3_);
}

LeNet5::LeNet5(const data::ImageShape& image, int64_t classes)
    : conv1_({.in_channels = image.channels, .out_channels = 20, .kernel = 5}),
      conv2_({.in_channels = 20, .out_channels = 50, .kernel = 5}),
      fc1_({.in = lenet5_features(image), .out = 500}),
      fc2_({.in = 500, .out = classes}) {}

Variable LeNet5::forward(const Variable& x) {
  Variable y = max_pool2d(relu(conv1_(x)), {.kernel = 2});
  y = max_pool2d(relu(conv2_(y)), {.kernel = 2});
  return fc2_(relu(fc1_(flatten(y))));
}

void LeNet5::visit(MemberVisitor& visitor) {
  visitor.module("conv1", conv1_);
  visitor.module("conv2", conv2_);
  visitor.module("fc1", fc1_);
  visitor.module("fc2", fc2_);
}

}  // namespace espalier::nn::models
