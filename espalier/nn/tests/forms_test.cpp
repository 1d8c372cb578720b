// SPDX-License-Identifier: Apache-2.0
// Forms: hand-worked values, what their layers compute and skip, and how they travel with networks.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <espalier/autograd/derivative/gradcheck.h>
#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/forms/hard_concrete.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/forms/straight_through.h>
#include <espalier/nn/forms/supermask.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/quantize/layer_quantizer.h>
#include <espalier/nn/tests/support.h>
#include <espalier/nn/train/sgd.h>

namespace espalier::nn {
namespace {

using espalier::testing::TemporaryFolder;

constexpr double kTolerance = 1e-6;
constexpr double kKernelTolerance = 1e-4;  // of sums in another order

void set(Parameter& parameter, const std::vector<float>& numbers) {
  parameter.value.value().copy_(Tensor::from<float>(parameter.shape(), numbers));
}

void expect_near(const Tensor& got, const std::vector<double>& expected) {
  const std::vector<double> numbers = values(got);
  ASSERT_EQ(numbers.size(), expected.size());
  for (size_t i = 0; i < numbers.size(); ++i) EXPECT_NEAR(numbers[i], expected[i], kTolerance) << i;
}

int64_t nonzero(const Tensor& tensor) {
  const std::vector<double> numbers = values(tensor);
  return std::ranges::count_if(numbers, [](double x) { return x != 0.0; });
}

/// One output without bias, with the weights given.
Linear one_output(const std::vector<float>& weights) {
  Linear layer({.in = static_cast<int64_t>(weights.size()), .out = 1, .bias = false});
  set(layer.weight, weights);
  return layer;
}

// w = (.5, -1), s = (.2, .1), one of two: y = .5; ds = (.5, -1); after a step of rate 1 s = (-.3,
// 1.1), and the other weight is chosen.
TEST(Supermask, MatchesTheHandWorkedExample) {
  Linear layer = one_output({0.5F, -1});
  auto form = std::make_shared<Supermask>(layer.weight.shape(), 1);
  set(form->scores, {0.2F, 0.1F});
  layer.form = form;
  Sgd sgd(layer, {.lr = 1.0}, /*weight_decay=*/0.0);
  const Variable x(Tensor::ones({1, 2}));
  const Variable y = layer(x);
  EXPECT_EQ(y.item(), 0.5);
  y.backward();
  expect_near(form->scores.value.grad().value(), {0.5, -1.0});
  EXPECT_FALSE(layer.weight.value.grad().defined());
  sgd.step();
  expect_near(form->scores.value.value(), {-0.3, 1.1});
  expect_near(layer.weight.value.value(), {0.5, -1.0});
  EXPECT_EQ(layer(x).item(), -1.0);
}

TEST(Supermask, KeepsExactlyKWithTies) {
  Linear layer = one_output({1, 2, 3, 4, 5, 6});
  auto form = std::make_shared<Supermask>(layer.weight.shape(), 0);
  layer.form = form;
  set(form->scores, {1, -1, 1, 1, 0, -2});
  for (int64_t k = 0; k <= 6; ++k) {
    form->keep(k);
    const Effective e = form->effective(layer.weight);
    EXPECT_EQ(e.sparsity.support->nnz(), k);
    EXPECT_EQ(nonzero(e.value.value()), k);
  }
  form->keep(3);  // -2 and, of the equal ones, the first two
  expect_near(form->effective(layer.weight).value.value(), {1, 2, 0, 0, 0, 6});
  EXPECT_THROW(form->keep(7), ValueError);
  EXPECT_THROW(form->keep(-1), ValueError);
}

// Frozen weights stay what they are to the last bit, whatever the optimizer does; a mask that they
// have is kept.
TEST(Supermask, WeightsAreFrozenAndChosenAmongThoseThatExist) {
  auto net = tiny_net();
  const FormSite site = form_site(*net, "conv.weight");
  Tensor mask = two_thirds_mask(site.slot.parameter->shape());
  site.slot.parameter->set_mask(mask);
  auto form = std::make_shared<Supermask>(mask.shape(), 9);
  site.set(form);
  const std::vector<double> before = values(net->parameter("conv.weight").value.value());
  Sgd sgd(*net, {.lr = 0.5, .momentum = 0.9}, /*weight_decay=*/0.1);
  for (int step = 0; step < 5; ++step) {
    net->zero_grad();
    sum((*net)(Variable(random_tensor({4, 1, 8, 8}, 3)))).backward();
    sgd.step();
    const Tensor chosen = form->effective(*site.slot.parameter).sparsity.support->mask();
    for (int64_t i = 0; i < mask.numel(); ++i) {
      EXPECT_LE(chosen.data<uint8_t>()[i], mask.data<uint8_t>()[i]);
    }
  }
  EXPECT_EQ(values(net->parameter("conv.weight").value.value()), before);
}

// w = (4,-3,2,1), 2:4, G = 0.1: the gradient is (.1, .1, .1004, .1002).
TEST(StraightThrough, MatchesTheHandWorkedExample) {
  Linear layer = one_output({4, -3, 2, 1});
  layer.form = std::make_shared<StraightThrough>(layer.weight.shape(), StraightThrough::Options{});
  const Variable y = layer(Variable(Tensor::full({1, 4}, 0.1)));
  EXPECT_NEAR(y.item(), 0.1, kTolerance);
  y.backward();
  expect_near(layer.weight.value.grad().value(), {0.1, 0.1, 0.1004, 0.1002});
  layer.zero_grad();
  layer.eval();  // the decay belongs to training
  layer(Variable(Tensor::full({1, 4}, 0.1))).backward();
  expect_near(layer.weight.value.grad().value(), {0.1, 0.1, 0.1, 0.1});
}

TEST(StraightThrough, AllOfAllIsDenseTraining) {
  Linear layer({.in = 8, .out = 5});
  Linear plain = layer;
  plain.weight = layer.weight.clone();
  layer.form = std::make_shared<StraightThrough>(
      layer.weight.shape(), StraightThrough::Options{.pattern = {.keep = 4, .of = 4}});
  const Variable x(random_tensor({3, 8}, 1));
  const Variable y = layer(x);
  EXPECT_EQ(values(y.value()), values(plain(x).value()));
  sum(y * y).backward();
  const Variable z = plain(x);
  sum(z * z).backward();
  EXPECT_EQ(values(layer.weight.value.grad().value()), values(plain.weight.value.grad().value()));
}

TEST(StraightThrough, TheChoiceFollowsTheWeightsAndFlipsAreCounted) {
  Linear layer = one_output({-1, 0.9F, 2, 0});
  auto form = std::make_shared<StraightThrough>(layer.weight.shape(), StraightThrough::Options{});
  EXPECT_EQ(form->take_flips(layer.weight), 2);  // from all to two of four
  EXPECT_EQ(form->take_flips(layer.weight), 0);
  const auto before = form->chosen(layer.weight);
  set(layer.weight, {-1.1F, 0.8F, 2, 0});
  EXPECT_EQ(form->chosen(layer.weight), before);  // what kernels derived from it stays
  set(layer.weight, {-0.8F, 1.1F, 2.2F, 0.2F});
  form->effective(layer.weight);
  set(layer.weight, {-1, 0.9F, 2, 0});
  EXPECT_EQ(form->take_flips(layer.weight), 4);
  EXPECT_THROW(StraightThrough({2, 6}, {.pattern = {.keep = 2, .of = 4}}), ShapeError);
  EXPECT_THROW(StraightThrough({2, 8}, {.pattern = {.keep = 5, .of = 4}}), ValueError);
}

// Inputs at one place of the kernel are neighbours, and groups of outputs share a choice.
TEST(StraightThrough, ChoosesAlongTheInputs) {
  const Tensor weight = Tensor::from<float>({2, 2, 1, 2},
                                            {1,
                                             5,
                                             2,
                                             4,  // output 0: inputs 0 and 1 at two places
                                             3,
                                             1,
                                             1,
                                             1});  // output 1
  EXPECT_EQ(n_of_m_mask(weight, {.keep = 1, .of = 2}).to_vector<uint8_t>(),
            (std::vector<uint8_t>{0, 1, 1, 0, 1, 1, 0, 0}));
  EXPECT_EQ(n_of_m_mask(weight, {.keep = 1, .of = 2, .group = 2}).to_vector<uint8_t>(),
            (std::vector<uint8_t>{1, 1, 0, 0, 1, 1, 0, 0}));
}

TEST(StraightThrough, AnotherChoiceIsAFunction) {
  Linear layer = one_output({1, 2, 3});
  layer.form = std::make_shared<StraightThrough>(
      layer.weight.shape(), StraightThrough::Options{}, [](const Tensor& weight) {
        return largest_mask(weight, 1);
      });
  EXPECT_EQ(layer(Variable(Tensor::ones({1, 3}))).item(), 3.0);
}

// log alpha 0: the gate is 1/2 in evaluation, and P(z != 0) is .8318222.
TEST(HardConcrete, MatchesTheHandWorkedGateAndPenalty) {
  Linear layer = one_output({2, -4});
  auto form =
      std::make_shared<HardConcrete>(layer.weight.shape(), HardConcrete::Options{.drop_rate = 0.5});
  set(form->log_alpha, {0, -3});  // the second is below -log 11: closed
  layer.form = form;
  layer.eval();
  const Effective e = form->effective(layer.weight);
  expect_near(e.value.value(), {1, 0});
  EXPECT_EQ(e.sparsity.support->mask().to_vector<uint8_t>(), (std::vector<uint8_t>{1, 0}));
  set(form->log_alpha, {0, 0});
  const double p = 0.8318222;
  EXPECT_NEAR(form->penalty(layer.weight, 3.0, 0.5).item(), p * (3 + 1) + p * (3 + 4), 1e-5);
  form->penalty(layer.weight, 3.0, 0.0).backward();  // d = price p (1 - p)
  expect_near(form->log_alpha.value.grad().value(), {3 * p * (1 - p), 3 * p * (1 - p)});
  set(form->log_alpha, {99, -99});
  form->clamp();
  expect_near(form->log_alpha.value.value(), {std::log(100.0), -std::log(100.0)});
  EXPECT_FALSE(form->log_alpha.decays);
}

// The gates of a pass are those that the formula makes of the noise of its position.
TEST(HardConcrete, NoiseIsAFunctionOfSeedPositionAndNumber) {
  const Shape shape{40, 30};
  HardConcrete form(shape, {.seed = 5, .number = 3});
  Parameter ones(Tensor::ones(shape));
  const auto pass = [&](int64_t position) {
    form.set_position(position);
    return values(form.effective(ones).value.value());
  };
  const std::vector<double> seventh = pass(7);
  EXPECT_NE(pass(8), seventh);
  EXPECT_EQ(pass(7), seventh);
  form.set_position(6);
  form.effective(ones);
  EXPECT_EQ(values(form.effective(ones).value.value()), seventh);  // a pass is a position
  Rng noise = Rng(5, "l0 gates").fork(7).fork(3).fork(0);
  for (int64_t u = 0; u < 100; ++u) {
    const double a = form.log_alpha.value.value().data<float>()[u];
    const double uniform = noise.uniform(hard_concrete::kEpsilon, 1.0 - hard_concrete::kEpsilon);
    EXPECT_EQ(seventh[static_cast<size_t>(u)],
              static_cast<float>(hard_concrete::sample(a, uniform).z));
  }
  HardConcrete other(shape, {.seed = 5, .number = 4});
  other.set_position(7);
  EXPECT_NE(values(other.effective(ones).value.value()), seventh);
}

TEST(HardConcrete, SharedGatesHaveOneNoise) {
  Conv2d a({.in_channels = 6, .out_channels = 3}), b({.in_channels = 6, .out_channels = 9});
  const HardConcrete::Options options{.grain = HardConcrete::Grain::Inputs, .seed = 2, .number = 1};
  auto first = std::make_shared<HardConcrete>(a.weight.shape(), options);
  auto second = std::make_shared<HardConcrete>(b.weight.shape(), options);
  second->share(*first);
  a.weight.value.value().fill_(1.0);
  b.weight.value.value().fill_(1.0);
  const Tensor x = first->effective(a.weight).value.value();
  const Tensor y = second->effective(b.weight).value.value();
  for (int64_t c = 0; c < 6; ++c) EXPECT_EQ(x.at({0, c, 0, 0}), y.at({8, c, 2, 2})) << c;
  HardConcrete outputs(b.weight.shape(), {.grain = HardConcrete::Grain::Outputs});
  EXPECT_THROW(outputs.share(*first), ValueError);
}

/// Every form for a weight, at about a third of its weights.
std::vector<std::shared_ptr<Form>> forms_for(const Shape& shape) {
  std::vector<std::shared_ptr<Form>> out = {
      std::make_shared<Supermask>(shape, shape.numel() / 3),
      std::make_shared<StraightThrough>(
          shape, StraightThrough::Options{.pattern = {.keep = 1, .of = 2}, .decay = 0.0})};
  for (const auto grain : {HardConcrete::Grain::Weights, HardConcrete::Grain::Inputs}) {
    auto form = std::make_shared<HardConcrete>(shape, HardConcrete::Options{.grain = grain});
    Rng rng(4, "gates");
    fill_normal_(form->log_alpha.value.value(), rng, -2.5, 2.0);
    out.push_back(form);
  }
  return out;
}

// Differences of a loss in log alpha and w, at one noise, are the gradients. (Straight-through
// gradients are of no function: those of the others are the oracle's, forms_oracle_test.cpp.)
TEST(HardConcrete, GradientsMatchDifferencesInFloat64) {
  for (const bool training : {true, false}) {
    HardConcrete form({4, 5}, {});
    form.to(DType::F64);
    form.train(training);
    const auto run = [&](const std::vector<Variable>& in) {
      Parameter weight;
      weight.value = in[0];
      form.log_alpha.value = in[1];
      form.set_position(2);
      const Effective e = form.effective(weight);
      return linear(in[2], e.value, {}, e.sparsity);
    };
    Tensor log_alpha = random_tensor({4, 5}, 2, DType::F64);
    for (int64_t i = 0; i < 20; ++i) log_alpha.data<double>()[i] *= 4.0;
    EXPECT_EQ(gradcheck(run,
                        {random_tensor({4, 5}, 1, DType::F64),
                         log_alpha,
                         random_tensor({3, 5}, 3, DType::F64)}),
              "");
  }
}

// Folded weights give the outputs of the form in evaluation, to the last bit, and have its mask.
TEST(Forms, FoldedWeightsComputeTheSame) {
  const Variable images(random_tensor({3, 8, 6, 6}, 1)), rows(random_tensor({3, 8}, 2));
  Conv2d conv({.in_channels = 8, .out_channels = 6, .padding = 1});
  Linear product({.in = 8, .out = 6});
  for (size_t kind = 0; kind < forms_for({2, 2}).size(); ++kind) {
    for (const bool convolution : {true, false}) {
      const auto net = (convolution ? static_cast<Module&>(conv) : product).clone();
      const FormSite site = form_sites(*net).front();
      site.set(forms_for(site.slot.parameter->shape())[kind]);
      const Variable& x = convolution ? images : rows;
      net->eval();
      const NoGrad no_grad;
      const std::vector<double> expected = values((*net)(x).value());
      const std::string name = site.form()->describe();
      fold_forms(*net);
      EXPECT_FALSE(has_forms(*net)) << name;
      EXPECT_EQ(values((*net)(x).value()), expected) << name;
      EXPECT_EQ(site.slot.parameter->nnz(), nonzero(site.slot.parameter->value.value())) << name;
      EXPECT_LT(site.slot.parameter->nnz(), site.slot.parameter->numel()) << name;
    }
  }
}

// A kernel skips what the form leaves out: executed MACs fall with the kept share.
TEST(Forms, ExecutedMacsFallWithTheKeptShare) {
  Conv2d conv({.in_channels = 32, .out_channels = 32, .padding = 1, .bias = false});
  auto form = std::make_shared<Supermask>(conv.weight.shape(), 0);
  conv.form = form;
  const Variable x(random_tensor({32, 32, 8, 8}, 1).to(Layout::Nchw16n));
  const int64_t positions = 32 * 8 * 8;
  for (const bool training : {true, false}) {
    conv.train(training);
    for (const int64_t kept : {100, 400, 921}) {
      form->keep(kept);
      const MacCounter counter;
      conv(x);
      EXPECT_EQ(counter.macs(), kept * positions) << training;
    }
  }
}

TEST(Forms, EveryGradientReachesItsPlace) {
  // Dense gradients under a sparse forward pass, in the lanes where sparse kernels run.
  Conv2d conv({.in_channels = 16, .out_channels = 16, .padding = 1, .bias = false});
  const Variable x(random_tensor({16, 16, 6, 6}, 1).to(Layout::Nchw16n));
  auto straight = std::make_shared<StraightThrough>(
      conv.weight.shape(), StraightThrough::Options{.pattern = {.keep = 1, .of = 8}, .decay = 0.0});
  conv.form = straight;
  const auto pattern = straight->chosen(conv.weight);
  sum(conv(x) * conv(x)).backward();
  const Tensor got = conv.weight.value.grad().value();
  // The reference: the masked weight as a dense one.
  Conv2d dense({.in_channels = 16, .out_channels = 16, .padding = 1, .bias = false});
  dense.weight.value.value().copy_(sparse::masked(conv.weight.value.value(), *pattern));
  sum(dense(x) * dense(x)).backward();
  const Tensor expected = dense.weight.value.grad().value();
  double largest = 0.0;
  for (const double g : values(expected)) largest = std::max(largest, std::abs(g));
  EXPECT_LT(max_difference(got, expected), kKernelTolerance * largest);
  EXPECT_EQ(nonzero(got), got.numel());
}

/// Forward the k largest, gradients for the next m too: as Top-KAST.
class WiderBackward : public Form {
 public:
  WiderBackward(int64_t forward, int64_t backward) : forward_(forward), backward_(backward) {}
  void visit(MemberVisitor&) override {}
  std::string describe() const override { return "WiderBackward"; }
  std::string kind() const override { return "wider-backward"; }
  std::map<std::string, double> settings() const override {
    return {{"forward", static_cast<double>(forward_)},
            {"backward", static_cast<double>(backward_)}};
  }
  Effective effective(const Parameter& weight) override {
    const Tensor& w = weight.value.value();
    const Tensor mask = largest_mask(w, forward_);
    return {mask_ste(weight.value, mask),
            {.support = first_(mask), .gradient = second_(largest_mask(w, backward_))}};
  }

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<WiderBackward>(*this);
  }

 private:
  int64_t forward_, backward_;
  SupportOf first_, second_;
};

TEST(Forms, GradientsMayBeOfMoreWeightsThanTheProduct) {
  for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    Conv2d conv({.in_channels = 16, .out_channels = 16, .padding = 1, .bias = false});
    const Variable x(random_tensor({16, 16, 6, 6}, 1).to(layout), true);
    conv.form = std::make_shared<WiderBackward>(200, 500);
    sum(conv(x)).backward();
    const Tensor got = conv.weight.value.grad().value();
    EXPECT_EQ(nonzero(got), 500);
    Conv2d dense({.in_channels = 16, .out_channels = 16, .padding = 1, .bias = false});
    sum(dense(x)).backward();  // the gradient of a sum depends on x alone
    const Tensor mask = largest_mask(conv.weight.value.value(), 500);
    const Tensor expected =
        sparse::masked(dense.weight.value.grad().value(), sparse::Support(mask));
    EXPECT_LT(max_difference(got, expected), 1e-2);
  }
  Linear product({.in = 32, .out = 32, .bias = false});
  product.form = std::make_shared<WiderBackward>(100, 300);
  sum(product(Variable(random_tensor({16, 32}, 2).to(Layout::Nchw16n), true))).backward();
  EXPECT_EQ(nonzero(product.weight.value.grad().value()), 300);
}

// Whatever a layer does with its weight, it does with the form's.
TEST(Forms, AllLayersMultiplyWithTheirForms) {
  std::vector<std::pair<std::unique_ptr<Module>, Tensor>> layers;
  layers.emplace_back(
      std::make_unique<Conv1d>(Conv1d::Options{.in_channels = 4, .out_channels = 6}),
      random_tensor({2, 4, 9}, 1));
  layers.emplace_back(std::make_unique<ConvTranspose2d>(
                          ConvTranspose2d::Options{.in_channels = 4, .out_channels = 6}),
                      random_tensor({2, 4, 5, 5}, 1));
  layers.emplace_back(
      std::make_unique<MultiheadAttention>(MultiheadAttention::Options{.dim = 8, .heads = 2}),
      random_tensor({2, 5, 8}, 1));
  layers.emplace_back(std::make_unique<Lstm>(Lstm::Options{.in = 4, .hidden = 6, .layers = 2}),
                      random_tensor({2, 5, 4}, 1));
  layers.emplace_back(std::make_unique<Gru>(Gru::Options{.in = 4, .hidden = 6, .layers = 2}),
                      random_tensor({2, 5, 4}, 1));
  for (const auto& [layer, x] : layers) {
    const std::vector<FormSite> sites = form_sites(*layer);
    ASSERT_FALSE(sites.empty()) << layer->describe();
    for (const FormSite& site : sites) {
      const Shape& shape = site.slot.parameter->shape();
      if (!site.slot.whole) {
        EXPECT_THROW(site.set(std::make_shared<LayerQuantizer>()), NotImplemented) << site.weight;
      }
      site.set(std::make_shared<Supermask>(shape, shape.numel() / 3));
    }
    layer->eval();
    const Variable y = (*layer)(Variable(x));
    sum(y * y).backward();
    for (const FormSite& site : sites) {
      auto& form = dynamic_cast<Supermask&>(*site.form());
      EXPECT_EQ(nonzero(form.scores.value.grad().value()), form.scores.numel()) << site.weight;
    }
    const std::vector<double> formed = values(y.value());
    fold_forms(*layer);
    EXPECT_EQ(values((*layer)(Variable(x)).value()), formed) << layer->describe();
  }
}

/// A small residual network with a form of every kind.
std::unique_ptr<Module> formed_model(const ModelOptions& options) {
  auto model = make_model("resnet20", options);
  size_t next = 0;
  for (const FormSite& site : form_sites(*model)) {
    const Shape& shape = site.slot.parameter->shape();
    if (shape[1] % 2 == 0) site.set(forms_for(shape)[next++ % 4]);
  }
  // Two that read the same channels share their gates.
  for (const char* name : {"layer1.0.conv1.weight", "layer1.1.conv1.weight"}) {
    const FormSite site = form_site(*model, name);
    *site.slot.form = nullptr;
    site.set(std::make_shared<HardConcrete>(
        site.slot.parameter->shape(), HardConcrete::Options{.grain = HardConcrete::Grain::Inputs}));
  }
  form_site(*model, "layer1.1.conv1.weight")
      .form()
      ->share(*form_site(*model, "layer1.0.conv1.weight").form());
  return model;
}

TEST(Forms, SavedAndClonedNetworksComputeAlike) {
  const ModelOptions options{.width = 0.25};
  const auto model = formed_model(options);
  const TemporaryFolder folder;
  save_model(folder / "net", "resnet20", options, *model);
  const SavedModel loaded = load_model(folder / "net");
  EXPECT_EQ(describe_forms(*loaded.module), describe_forms(*model));
  const Variable x(random_tensor({2, 3, 32, 32}, 1));
  const auto run = [&](Module& one) {
    const EvalScope eval(one);
    const NoGrad no_grad;
    return values(one(x).value());
  };
  const std::vector<double> expected = run(*model);
  EXPECT_EQ(run(*loaded.module), expected);
  const auto copy = model->clone();
  EXPECT_EQ(snapshot(copy->state_dict()), snapshot(model->state_dict()));
  for (const FormSite& site : form_sites(*model)) {
    if (!site.form()) continue;
    for (const NamedParameter& p : site.form()->named_parameters()) {
      p.parameter->value.value().fill_(0.25);
    }
  }
  EXPECT_EQ(run(*copy), expected);
  EXPECT_NE(run(*model), expected);
  EXPECT_NE(message_of<NotImplemented>([&] { compile(*copy, x); }).find("fold_forms"),
            std::string::npos);
  fold_forms(*copy);
  EXPECT_EQ(run(*copy), expected);
  const std::vector<double> planned = values(compile(*copy, x).run(x.value()));
  for (size_t i = 0; i < planned.size(); ++i) EXPECT_NEAR(planned[i], expected[i], 1e-4);
}

/// Some steps of training from `first` on.
void train(Module& model, Sgd& sgd, int64_t first, int64_t last) {
  model.train();
  for (int64_t step = first; step < last; ++step) {
    model.zero_grad();
    const Variable x(random_tensor({4, 3, 32, 32}, static_cast<uint64_t>(step + 1)));
    cross_entropy(model(x), Tensor::from<int64_t>({4}, {0, 1, 2, 3})).backward();
    sgd.step();
  }
}

TEST(Forms, AKilledTrainingThatGoesOnHasTheSameBits) {
  const ModelOptions options{.width = 0.25};
  const auto make_sgd = [](Module& model) {
    return Sgd(model, {.lr = 0.05, .momentum = 0.9}, /*weight_decay=*/1e-4);
  };
  const auto whole = formed_model(options);
  Sgd sgd = make_sgd(*whole);
  train(*whole, sgd, 0, 3);
  const auto state = deep_copy(whole->state_dict()), rng = deep_copy(whole->rng_state()),
             moments = deep_copy(sgd.state_dict());
  const std::string forms = describe_forms(*whole);
  train(*whole, sgd, 3, 6);
  const auto second = make_model("resnet20", options);
  restore_forms(*second, forms);
  Sgd other = make_sgd(*second);
  second->load_state_dict(state);
  second->load_rng_state(rng);
  other.load_state_dict(moments);
  train(*second, other, 3, 6);
  EXPECT_EQ(snapshot(second->state_dict()), snapshot(whole->state_dict()));
  EXPECT_EQ(snapshot(other.state_dict()), snapshot(sgd.state_dict()));
}

TEST(Forms, AProgramsOwnKindsAreRestoredToo) {
  register_part_kind(
      {.name = "wider-backward", .make = [](const PartPlace&, const PartDescription& description) {
         return std::make_shared<WiderBackward>(description.whole("forward", 0, 100),
                                                description.whole("backward", 0, 100));
       }});
  EXPECT_THROW(register_part_kind({.name = "supermask", .make = {}}), ValueError);
  auto net = tiny_net();
  form_site(*net, "fc.weight").set(std::make_shared<WiderBackward>(3, 7));
  const std::string text = describe_forms(*net);
  auto other = tiny_net();
  restore_forms(*other, text);
  EXPECT_EQ(describe_forms(*other), text);
  EXPECT_THROW(restore_forms(*other, text), ValueError);  // it has one
}

TEST(Forms, LayersWithFormsOfTheirSizeKeepIt) {
  Conv2d conv({.in_channels = 4, .out_channels = 4});
  conv.form = std::make_shared<Supermask>(conv.weight.shape(), 3);
  EXPECT_NE(message_of<NotImplemented>([&] {
              conv.set_sizes({{"out_channels", 2}});
            }).find("Supermask(3 of 144)"),
            std::string::npos);
}

TEST(Forms, BadDescriptionsAreErrors) {
  for (const char* text :
       {R"({"conv":{"kind":"supermask","settings":{}}})",
        R"({"conv":{"kind":"supermask","settings":{"kept":46}}})",
        R"({"conv":{"kind":"supermask","settings":{"kept":1.5}}})",
        R"({"conv":{"kind":"supermask","settings":{"kept":[1]}}})",
        R"({"conv":{"kind":"straight-through","settings":{"keep":2,"of":4,"group":1,"decay":0}}})",
        R"({"conv":{"kind":"hard-concrete","settings":{"grain":7,"drop-rate":0.5,"number":0}}})",
        R"({"conv":{"kind":"hard-concrete","settings":{"grain":0,"drop-rate":0,"number":0}}})",
        R"({"fc":{"kind":"hard-concrete","settings":{"grain":0,"drop-rate":0.5,"number":0},
            "shares":"conv"}})",
        R"({"conv":{"kind":"blocks","settings":{}}})",
        R"({"bn":{"kind":"supermask","settings":{"kept":1}}})",
        R"({"conv":{"kind":"supermask"}})"}) {
    auto net = tiny_net();
    EXPECT_THROW(restore_forms(*net, text), Error) << text;
  }
}

}  // namespace
}  // namespace espalier::nn
