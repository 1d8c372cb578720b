// SPDX-License-Identifier: Apache-2.0
/// SimCLR tickets: the card's numbers of NT-Xent, PyTorch's training (oracles/simclr_tickets.py),
/// and the traps. Views are data/tests/views_test.cpp's.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/nn/forms/projection.h>
#include <espalier/nn/train/contrastive.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/tests/killed_run.h>
#include <espalier/prune/tests/small_training.h>

namespace espalier::prune {
namespace {

using testing::copied;
using testing::expect_near;
using testing::Options;
using testing::SmallTraining;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::TinyDataset;

constexpr double kCard = 1e-6;  // the card's digits

double loss_of(const std::vector<std::vector<double>>& rows, double temperature = 0.5) {
  Tensor z = Tensor::empty({static_cast<int64_t>(rows.size()), 2}, DType::F64);
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t d = 0; d < 2; ++d) z.data<double>()[2 * i + d] = rows[i][d];
  }
  return nn::nt_xent_loss(Variable(z), temperature).item();
}

// The card's pairs (0,1), (2,3), first views before the second.
TEST(NtXent, IsTheCards) {
  EXPECT_NEAR(loss_of({{1, 0}, {0, 1}, {1, 0}, {0, 1}}), 0.239545, kCard);
  // Trap: the logarithm of the mean would be 0.701822.
  EXPECT_NEAR(loss_of({{1, 0}, {0, 1}, {0.6, 0.8}, {0, 1}}), 0.758885, kCard);
  // Collapse: ln(2N - 1). Trap: without the positive in the sum it would be less, with the row
  // itself ln(2N).
  EXPECT_NEAR(loss_of({{0, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 1}}), std::log(5.0), kCard);
}

TEST(NtXent, DoesNotSeeOrderViewsRotationsOrLengths) {
  const std::vector<std::vector<double>> z = {{1, 0}, {0.28, 0.96}, {0.6, 0.8}, {-0.8, 0.6}};
  const double loss = loss_of(z);
  EXPECT_NEAR(loss_of({z[1], z[0], z[3], z[2]}), loss, 1e-12);
  EXPECT_NEAR(loss_of({z[2], z[3], z[0], z[1]}), loss, 1e-12);
  std::vector<std::vector<double>> turned, longer;
  for (const auto& row : z) {
    turned.push_back({0.8 * row[0] - 0.6 * row[1], 0.6 * row[0] + 0.8 * row[1]});
    longer.push_back({7 * row[0], 7 * row[1]});
  }
  EXPECT_NEAR(loss_of(turned), loss, 1e-12);
  EXPECT_NEAR(loss_of(longer), loss, 1e-12);                           // trap: un-normalized z
  EXPECT_GT(std::abs(loss_of({z[0], z[1], z[3], z[2]}) - loss), 0.1);  // other partners
  EXPECT_THROW(loss_of({{1, 0}, {0, 1}, {1, 1}}), ShapeError);
  EXPECT_THROW(loss_of({{1, 0}, {0, 1}}, 0.0), ValueError);
  EXPECT_TRUE(std::isfinite(loss_of({{0, 0}, {0, 1}})));
}

/// Keeps what it was shown.
class Shown : public nn::Module {
 public:
  void visit(nn::MemberVisitor&) override {}
  std::string describe() const override { return "Shown"; }
  std::vector<Shape> shapes;

 protected:
  Variable forward(const Variable& x) override {
    shapes.push_back(x.shape());
    return reshape(x, {x.size(0), -1});
  }
  std::unique_ptr<nn::Module> shallow_copy() const override {
    return std::make_unique<Shown>(*this);
  }
};

// Trap: batch norm must see both views in one pass.
TEST(TwoViews, AreOneForwardPassOfTwiceTheBatch) {
  Shown model;
  nn::TwoViews objective(
      [](const Tensor& images, int64_t view) {
        Tensor out = images.to(Layout::Nchw).contiguous().clone();
        if (view == 1) out.data<float>()[0] += 1.0F;
        return out;
      },
      0.5);
  const data::Batch batch{Tensor::ones({3, 2, 4, 4}).to(Layout::Nchw16n),
                          Tensor::zeros({3}, DType::I64)};
  const nn::StepLoss said = objective.loss(model, batch);
  EXPECT_EQ(model.shapes, (std::vector<Shape>{{6, 2, 4, 4}}));
  EXPECT_FALSE(said.logits.defined());
}

std::unique_ptr<Pruner> pruner(const Options& given) {
  Options all = given;
  all.insert({{"sparsity", "0.5"}, {"rounds", "2"}, {"projection", "8"}});
  return make_pruner("simclr-tickets",
                     parse_settings(method("simclr-tickets"), all),
                     {.input_shape = {3, 8, 8}, .seed = 4});
}

/// Keeps the network before the steps of this number, in all rounds.
class Before : public nn::TrainHook {
 public:
  explicit Before(int64_t step) : step_(step) {}
  void before_step(nn::TrainState& state) override {
    if (state.step == step_) seen.push_back(copied(state.model.state_dict()));
  }
  std::vector<std::map<std::string, Tensor>> seen;

 private:
  int64_t step_;
};

std::map<std::string, Tensor> trained(
    nn::Module& net,
    const std::vector<nn::TrainHook*>& hooks,
    const std::shared_ptr<const data::Dataset>& samples = std::make_shared<TinyDataset>()) {
  nn::Sgd sgd(net, nn::SgdOptions{.lr = 0.02, .momentum = 0.9}, 1e-3);
  data::Loader loader(samples, {.batch_size = 16, .shuffle = true, .seed = 1, .workers = 0});
  nn::fit(net, sgd, nn::ConstantLr(0.02), loader, hooks, {.epochs = 2});
  return copied(net.state_dict());
}

void expect_masked(const Tensor& values, const Tensor& before, const Tensor& mask) {
  const auto v = values.to_vector<float>(), b = before.to_vector<float>();
  const auto m = mask.to_vector<int>();
  for (size_t i = 0; i < v.size(); ++i) ASSERT_EQ(v[i], m[i] == 1 ? b[i] : 0.0F) << i;
}

// Trap: back to the pre-trained weights, which are those that the training began with, or those at
// the end of its first part; not to random ones.
TEST(SimclrTickets, RoundsStartFromThePretrainedWeights) {
  for (const char* part : {"0", "0.5"}) {
    SCOPED_TRACE(part);
    auto net = tiny_conv_net();
    const auto given = copied(net->state_dict());
    const auto hook = pruner({{"rewind-to", part}});
    hook->attach(*net);
    Before before(part == std::string("0") ? 0 : 4);  // of eight steps
    const auto end = trained(*net, {hook.get(), &before});
    ASSERT_EQ(before.seen.size(), 3U);  // two rounds, and the ticket
    for (size_t round = 1; round < 3; ++round) {
      for (const char* name : {"0.weight", "3.weight"}) {
        expect_masked(before.seen[round].at(name),
                      before.seen[0].at(name),
                      before.seen[round].at(cat(name, ".mask")));
      }
    }
    const bool at_start =
        before.seen[0].at("3.weight").to_vector<float>() == given.at("3.weight").to_vector<float>();
    EXPECT_EQ(at_start, part == std::string("0"));
    // 216 + 1152 weights; the classifier is not among them.
    const auto first = end.at("0.weight.mask").to_vector<int>();
    const auto second = end.at("3.weight.mask").to_vector<int>();
    EXPECT_EQ(std::ranges::count(first, 1) + std::ranges::count(second, 1), 684);
    EXPECT_FALSE(end.contains("7.weight.mask"));
  }
}

// The head is thrown away; the classifier has not learnt, and is there for evaluation.
TEST(SimclrTickets, TheHeadGoesAndTheClassifierIsWhatItWas) {
  auto net = tiny_conv_net();
  const auto given = copied(net->state_dict());
  const auto hook = pruner({});
  hook->attach(*net);
  ASSERT_NE(nn::form_site(*net, "7.weight").form(), nullptr);
  const Variable x(Tensor::ones({2, 3, 8, 8}));
  EXPECT_EQ((*net)(x).shape(), (Shape{2, 8}));
  net->eval();
  EXPECT_EQ((*net)(x).shape(), (Shape{2, 3}));
  net->train();
  const auto head = net->parameter("7.form.out").value.value().clone();
  class Head : public nn::TrainHook {
   public:
    void after_step(nn::TrainState& state) override {
      out = state.model.parameter("7.form.out").value.value().clone();
    }
    Tensor out;
  } watch;
  const auto end = trained(*net, {hook.get(), &watch});
  EXPECT_NE(watch.out.to_vector<float>(), head.to_vector<float>());  // it learnt
  EXPECT_FALSE(nn::has_forms(*net));
  for (const char* name : {"7.weight", "7.bias"}) {
    EXPECT_EQ(end.at(name).to_vector<float>(), given.at(name).to_vector<float>());
  }
  EXPECT_NE(end.at("3.weight").to_vector<float>(), given.at("3.weight").to_vector<float>());
}

/// The same pictures under other labels.
class OtherLabels : public TinyDataset {
 public:
  int64_t label(int64_t index) const override { return (index + index / 3) % 3; }
  void read(int64_t index, std::span<uint8_t> pixels) const override { right_.read(index, pixels); }

 private:
  TinyDataset right_;
};

TEST(SimclrTickets, LabelsDoNotMatter) {
  auto net = tiny_conv_net();
  auto other = tiny_conv_net();
  const auto hook = pruner({});
  const auto hook2 = pruner({});
  hook->attach(*net);
  hook2->attach(*other);
  const auto a = trained(*net, {hook.get()});
  const auto b = trained(*other, {hook2.get()}, std::make_shared<OtherLabels>());
  for (const auto& [name, tensor] : a) {
    EXPECT_EQ(tensor.to_vector<double>(), b.at(name).to_vector<double>()) << name;
  }
}

TEST(SimclrTickets, NeedsAClassifier) {
  nn::Sequential net;
  net.add(nn::Conv2d({.in_channels = 3, .out_channels = 4, .kernel = 3}));
  EXPECT_THROW(pruner({})->attach(net), ValueError);
  EXPECT_THROW(nn::Projection({4, 3, 3, 3}, 8), ShapeError);
  EXPECT_THROW(nn::Projection({4, 3}, 0), ValueError);
  EXPECT_THROW(nn::Projection({4, 3}, 4097), ValueError);
}

const testing::Oracle& oracle() {
  static const testing::Oracle values = {
#include <espalier/prune/tests/oracles/simclr_tickets.inc>
  };
  return values;
}

/// Views that a script has drawn.
class DrawnViews : public Action {
 public:
  explicit DrawnViews(const SmallTraining& training)
      : training_(training), noise_(Tensor::from({2, 3, 4, 6}, oracle().at("noise"))) {}
  nn::Objective* objective(const Subject&, nn::TrainState&) override { return &objective_; }
  std::map<int64_t, double> losses;

 private:
  /// Also keeps what the loss was.
  class Kept : public nn::TwoViews {
   public:
    Kept(Views views, DrawnViews& owner) : TwoViews(std::move(views), 0.5), owner_(owner) {}
    nn::StepLoss loss(nn::Module& model, const data::Batch& batch) override {
      nn::StepLoss said = TwoViews::loss(model, batch);
      owner_.losses[owner_.training_.step] = said.loss.item();
      return said;
    }

   private:
    DrawnViews& owner_;
  };
  Tensor view(const Tensor& images, int64_t number) const {
    const int64_t batch = training_.step % 3;
    const Tensor own = noise_.slice(0, number, number + 1).slice(1, batch, batch + 1);
    return (Variable(images) + Variable(own.contiguous().reshape({4, 6}))).value();
  }

  const SmallTraining& training_;
  Tensor noise_;
  Kept objective_{[this](const Tensor& images, int64_t number) { return view(images, number); },
                  *this};
};

TEST(SimclrTicketsOracle, TheTrainingIsPyTorchs) {
  SmallTraining training(oracle());
  const Timeline whole = choose_method(method("simclr-tickets"),
                                       parse_settings(method("simclr-tickets"),
                                                      {{"rounds", "1"}, {"projection", "4"}}))
                             .timeline();
  const auto views = std::make_shared<DrawnViews>(training);
  const Timeline timeline{
      .events = {whole.events.at(0), during(0.0, 1.0, views), whole.events.at(2)}};
  Pruner("oracle", timeline, make_pattern("unstructured"), {.sparsity = Sparsity(0.4)}, {})
      .attach(training.net);
  training.sgd =
      std::make_unique<nn::Sgd>(training.net, nn::SgdOptions{.lr = 0.3, .momentum = 0.9}, 0.01);
  for (const char* name : {"hidden", "hidden_bias", "out", "out_bias"}) {
    nn::Parameter& parameter = training.net.parameter(cat("2.form.", name));
    parameter.value.value().copy_(Tensor::from(parameter.shape(), oracle().at(name)));
  }
  EXPECT_EQ(training.run(timeline, {}, Sparsity(0.4)), 8 + 1);
  for (const int64_t step : {0, 23}) {
    EXPECT_NEAR(views->losses.at(step), oracle().at(cat("loss ", step)).at(0), testing::kExact);
  }
}

}  // namespace
}  // namespace espalier::prune
