// SPDX-License-Identifier: Apache-2.0
// ImageNet's networks against torchvision's; see oracles/imagenet.py.
#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>
#include <string>

#include <espalier/autograd/tests/oracle.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/models/registry.h>

#include "support.h"

namespace espalier::nn {
namespace {

std::string theirs(const std::string& name) {
  return name == "mobilenetv2" ? "mobilenet_v2" : name;
}

/// As `fill` of oracles/imagenet.py.
void fill(Module& module) {
  module.to(DType::F64);
  std::map<std::string, Tensor> state = module.state_dict();
  for (auto& [name, tensor] : state) {
    int64_t seed = 0;
    for (const char letter : name) seed += letter;
    tensor = made(tensor.shape(), seed);
    double scale = 0.1;
    double shift = 0.0;
    if (tensor.rank() > 1) {
      scale = std::sqrt(6.0 / static_cast<double>(tensor.numel() / tensor.size(0)));
    } else if (name.ends_with("running_var") || name.ends_with("weight")) {
      scale = 0.3;
      shift = 1.0;
    }
    std::for_each_n(tensor.data<double>(), tensor.numel(), [&](double& value) {
      value = shift + scale * value;
    });
  }
  module.load_state_dict(state);
}

class ImageNet : public ::testing::TestWithParam<std::string> {
 protected:
  static std::map<std::string, Tensor>& fixture() {
    static auto arrays = load_npz(std::string(ESPALIER_ORACLES) + "/imagenet.npz");
    return arrays;
  }
};

TEST_P(ImageNet, HasTorchvisionsNamesShapesAndCounts) {
  const ModelOptions options{.num_classes = 1000, .image = {3, 224, 224}, .stem = Stem::ImageNet};
  const auto model = make_model(GetParam(), options);
  std::map<std::string, Shape> shapes;
  for (const auto& [name, tensor] : model->state_dict()) shapes[name] = tensor.shape();
  std::string text;
  for (const auto byte : fixture().at(theirs(GetParam()) + ".tensors").to_vector<uint8_t>()) {
    text += static_cast<char>(byte);
  }
  std::istringstream lines(text);
  size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    ASSERT_TRUE(shapes.contains(name)) << name;
    Shape shape;
    for (int64_t size = 0; words >> size;) shape = shape.inserted(shape.rank(), size);
    EXPECT_EQ(shapes.at(name), shape) << name;
  }
  EXPECT_EQ(count, shapes.size());

  const ModelCount counted = count_model(*model, example_input(GetParam(), options));
  const auto expected = [&](const char* what) {
    return static_cast<int64_t>(fixture().at(theirs(GetParam()) + what).item());
  };
  EXPECT_EQ(counted.total.params, expected(".parameters"));
  EXPECT_EQ(counted.total.macs_dense, expected(".macs"));
}

TEST_P(ImageNet, ComputesTorchvisionsLogits) {
  const auto model = make_model(GetParam(), {.image = {3, 64, 64}, .stem = Stem::ImageNet});
  fill(*model);
  model->eval();
  const NoGrad no_grad;
  const Variable got = (*model)(Variable(made({2, 3, 64, 64}, 3)));
  Oracle oracle(ESPALIER_ORACLES, "imagenet");
  oracle.expect(theirs(GetParam()), got);
}

INSTANTIATE_TEST_SUITE_P(Zoo,
                         ImageNet,
                         ::testing::Values("resnet18", "resnet34", "resnet50", "mobilenetv2"));

TEST(ImageNetByHand, ResNet50HasFourBillionMacs) {
  // Blocks of (in, inner, side before, side after): 1x1, 3x3 with the stride, 1x1; the first of a
  // stage has a projection.
  const int64_t blocks[4] = {3, 4, 6, 3};
  int64_t macs = 112 * 112 * 64 * 3 * 49;
  int64_t in = 64;
  int64_t side = 56;
  for (int64_t stage = 0; stage < 4; ++stage) {
    const int64_t inner = int64_t{64} << stage;
    for (int64_t block = 0; block < blocks[stage]; ++block) {
      const int64_t after = block == 0 && stage > 0 ? side / 2 : side;
      macs += side * side * in * inner + after * after * (9 * inner * inner + inner * 4 * inner);
      if (block == 0) macs += after * after * in * 4 * inner;
      in = 4 * inner;
      side = after;
    }
  }
  macs += 2048 * 1000;
  EXPECT_EQ(macs, 4089184256);
  const ModelOptions options{.num_classes = 1000, .image = {3, 224, 224}, .stem = Stem::ImageNet};
  const auto model = make_model("resnet50", options);
  EXPECT_EQ(count_model(*model, example_input("resnet50", options)).total.macs_dense, macs);
}

}  // namespace
}  // namespace espalier::nn
