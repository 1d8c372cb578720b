// SPDX-License-Identifier: Apache-2.0
// What takes part in a forward pass and is no member that `visit` names: found at the first step.
#include <espalier/autograd/ops.h>
#include <espalier/nn/train/fit.h>
#include <espalier/nn/train/sgd.h>

#include "support.h"

namespace espalier::nn {
namespace {

enum class Forgets : uint8_t { Nothing, ALayer, AModuleWithoutParameters, AParameter };

// A classifier of `stripes` that may forget one of its members.
class Forgetful : public Module {
 public:
  explicit Forgetful(Forgets forgets)
      : forgets_(forgets),
        fc_({.in = 64, .out = 3}),
        hidden_({.in = 64, .out = 64}),
        drop_(0.25),
        scale_(Tensor::ones({64})) {}

  void visit(MemberVisitor& visitor) override {
    if (forgets_ != Forgets::ALayer) visitor.module("hidden", hidden_);
    if (forgets_ != Forgets::AModuleWithoutParameters) visitor.module("drop", drop_);
    if (forgets_ != Forgets::AParameter) visitor.parameter("scale", scale_);
    visitor.module("fc", fc_);
  }
  std::string describe() const override { return "Forgetful"; }
  Parameter& scale() { return scale_; }

 protected:
  Variable forward(const Variable& x) override {
    return fc_(drop_(relu(hidden_(flatten(x) * scale_.value))));
  }
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<Forgetful>(*this);
  }

 private:
  Forgets forgets_;
  Linear fc_, hidden_;
  Dropout drop_;
  Parameter scale_;
};

TrainProgress train(Module& model, Optimizer& optimizer) {
  data::Loader loader(stripes(16), {.batch_size = 16, .seed = 1, .workers = 0});
  return fit(model, optimizer, ConstantLr(0.01), loader, {}, {.epochs = 1});
}

std::string complaint(Forgets forgets) {
  Forgetful model(forgets);
  Sgd optimizer(model, {.lr = 0.01});
  const auto before = snapshot(model.state_dict());
  const std::string text = message_of<ValueError>([&] { train(model, optimizer); });
  EXPECT_EQ(snapshot(model.state_dict()), before);
  return text;
}

TEST(Fit, NamesALayerThatVisitForgot) {
  const std::string text = complaint(Forgets::ALayer);
  EXPECT_NE(text.find("Forgetful calls Linear(64, 64), which no visit() names"), std::string::npos)
      << text;
}

TEST(Fit, NamesAModuleWithoutParametersThatVisitForgot) {
  // Nobody would ever switch it to evaluation.
  const std::string text = complaint(Forgets::AModuleWithoutParameters);
  EXPECT_NE(text.find("calls Dropout"), std::string::npos) << text;
}

TEST(Fit, NamesTheOpThatReadsAForgottenParameter) {
  const std::string text = complaint(Forgets::AParameter);
  EXPECT_NE(text.find("op 'mul' reads a parameter of shape (64)"), std::string::npos) << text;
}

TEST(Fit, TrainsWhatIsNamedOrGivenToTheOptimizer) {
  Forgetful whole(Forgets::Nothing);
  Sgd optimizer(whole, {.lr = 0.01});
  EXPECT_EQ(train(whole, optimizer).step, 1);

  Forgetful apart(Forgets::AParameter);
  std::vector<ParameterGroup> groups = parameter_groups(apart, 0.0);
  groups.push_back({.parameters = {{"scale", &apart.scale()}}});
  Sgd both(groups, {.lr = 0.01});
  EXPECT_EQ(train(apart, both).step, 1);
}

TEST(Fit, NamesTheModuleThatCallsAForgottenOne) {
  Sequential net;
  net.add("inner", Forgetful(Forgets::AModuleWithoutParameters));
  Sgd optimizer(net, {.lr = 0.01});
  const std::string text = message_of<ValueError>([&] { train(net, optimizer); });
  EXPECT_NE(text.find("Forgetful ('inner') calls Dropout"), std::string::npos) << text;
}

}  // namespace
}  // namespace espalier::nn
