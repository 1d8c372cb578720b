// SPDX-License-Identifier: Apache-2.0
/// Targets of methods that remove by no mask update: masks that are learnt, factors, kernels, N of
/// M, a student, and gates. What mask updates make of targets: budget_test.cpp.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/core/mac_counter.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/forms/low_rank.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/actions/gate_share.h>
#include <espalier/prune/budgets/latency.h>
#include <espalier/prune/budgets/units_within.h>
#include <espalier/prune/tests/short_runs.h>

namespace espalier::prune {
namespace {

using espalier::testing::expect_error;
using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::tiny_residual_net;

const Shape kSample = {3, 8, 8};
const PruneInputs kInputs = {.input_shape = kSample, .seed = 5};

double macs(nn::Module& net) {
  return static_cast<double>(nn::count_model(net, kSample).total.macs_effective);
}

/// A training of two epochs. Returns the last report; of gates an empty one.
UpdateReport train(const std::string& name, nn::Module& net, OptionTexts given) {
  for (const auto& [option, text] : testing::short_options(method(name))) {
    given.try_emplace(option, text);
  }
  const auto pruner = make_pruner(choose_method(method(name), given), kInputs);
  pruner->attach(net);
  nn::Sgd sgd(net, {.lr = 0.01});
  auto loader = tiny_loader();
  nn::fit(net, sgd, nn::ConstantLr(0.01), *loader, {pruner.get()}, {.epochs = 2});
  return pruner->updates().empty() ? UpdateReport() : pruner->updates().back();
}

// Costs 3, 5 and 2 a unit of three places with 4 units each, all at the same share: 40 in all. At a
// half two of each cost 20; of the 23 that are allowed one more of the first place takes the rest.
TEST(UnitsWithin, AddsUnitsPlaceByPlaceAsLongAsOneFits) {
  const auto at = [](Sparsity sparsity) {
    return UnitNumbers(3, std::llround(std::floor(sparsity.density().value() * 4.0)));
  };
  const auto cost = [](const UnitNumbers& units) {
    return static_cast<double>(3 * units[0] + 5 * units[1] + 2 * units[2]);
  };
  EXPECT_EQ(units_within({at, cost, 23.0}, "cost"), (UnitNumbers{3, 2, 2}));
  EXPECT_EQ(units_within({at, cost, 24.5}, "cost"), (UnitNumbers{3, 2, 2}));
  EXPECT_EQ(units_within({at, cost, 25.0}, "cost"), (UnitNumbers{3, 2, 3}));
  EXPECT_EQ(units_within({at, cost, 40.0}, "cost"), (UnitNumbers{4, 4, 4}));
  EXPECT_EQ(units_within({at, cost, 0.0}, "cost"), (UnitNumbers{0, 0, 0}));
  const auto least = [](const UnitNumbers& units) { return static_cast<double>(1 + units[0]); };
  EXPECT_THROW(units_within({at, least, 0.5}, "cost"), ValueError);
}

// Convolutions run at 64 positions, the linear layer at one.
TEST(TargetOfMethods, LearntMasksKeepNumbersThatCostWhatIsAsked) {
  for (const char* name : {"edge-popup", "supermask", "top-kast", "clip-q"}) {
    SCOPED_TRACE(name);
    auto net = tiny_conv_net();
    const double asked = 0.4 * macs(*net);
    const UpdateReport report = train(name, *net, {{"target", "macs=0.4"}});
    EXPECT_LE(macs(*net), asked);
    EXPECT_GT(macs(*net) + 64.0, asked);
    EXPECT_EQ(report.budget, "macs");
    EXPECT_NEAR(report.target.value(), 0.6, 1e-12);
    EXPECT_NEAR(report.reached.value(), 0.6, 1e-3);
  }
}

TEST(TargetOfMethods, LearntMasksMeetParametersAndBytes) {
  for (const char* target : {"params=0.5", "bytes=0.6"}) {
    SCOPED_TRACE(target);
    auto net = tiny_conv_net();
    const UpdateReport report = train("edge-popup", *net, {{"target", target}});
    EXPECT_GE(report.reached.value(), report.target.value() - 1e-3);
    // Bytes fall at once when a layer is sparse enough for another kernel.
    if (report.budget == "params") {
      EXPECT_NEAR(report.reached.value(), 0.5, 1e-3);
    }
  }
}

// A rank of 0 costs 27 + 8 products at 64 places, of 3 72 + 16, of 7 1024 + 3 at one.
TEST(TargetOfMethods, FactorsCostWhatIsAskedToOneRank) {
  for (const char* split : {"channel", "spatial"}) {
    for (const double share : {0.6, 0.3}) {
      SCOPED_TRACE(cat(split, " ", share));
      auto net = tiny_conv_net();
      const double dense = macs(*net);
      const MethodChoice choice =
          choose_method(method("svd"), {{"target", cat("macs=", share)}, {"split", split}});
      make_pruner(choice, kInputs)->attach(*net);
      EXPECT_LE(macs(*net), share * dense);
      const double left = macs(*net);
      int cut = 0;
      for (const char* name : {"0.weight", "3.weight", "7.weight"}) {
        const nn::FormSite site = nn::form_site(*net, name);
        const auto* form = dynamic_cast<const nn::LowRank*>(site.form());
        if (form == nullptr) continue;
        ++cut;
        nn::LowRank::Options more = form->options();
        if (++more.rank > nn::LowRank::full(site.slot.parameter->shape(), more.split).rank)
          continue;
        const auto before = *site.slot.form;
        *site.slot.form = std::make_shared<nn::LowRank>(site.slot.parameter->shape(), more);
        EXPECT_GT(macs(*net), share * dense) << name;
        *site.slot.form = before;
      }
      EXPECT_GT(cut, 0);
      EXPECT_EQ(macs(*net), left);
    }
  }
}

TEST(TargetOfMethods, FactorsAreTrainedAndToldByTheirCost) {
  for (const char* name : {"svd", "tucker2"}) {
    for (const char* target : {"macs=0.5", "params=0.5", "bytes=0.9"}) {
      SCOPED_TRACE(cat(name, " ", target));
      auto net = tiny_conv_net();
      const UpdateReport report = train(name, *net, {{"target", target}});
      EXPECT_EQ(report.budget, std::string(target).substr(0, std::string(target).find('=')));
      EXPECT_GE(report.reached.value(), report.target.value() - 1e-9);
      EXPECT_LT(report.reached.value(), report.target.value() + 0.25);
    }
  }
}

// Trap: factors have no masks, by which measurements are told apart. Products stand for seconds.
TEST(TargetOfMethods, FactorsOfOtherRanksAreTimedApart) {
  const espalier::testing::TemporaryFolder folder;
  PruneInputs measured = kInputs;
  measured.measurements = folder.path() / "latencies.json";
  const auto by_macs =
      [](const nn::InferencePlan& plan, const nn::InferencePlan& dense, const Tensor&) {
        return static_cast<double>(plan.macs()) / static_cast<double>(dense.macs());
      };
  auto net = tiny_conv_net();
  const auto budget = latency_budget(*dense_copy(*net), measured, 4, by_macs);
  std::vector<double> costs = {budget->cost(*net->clone())};
  for (const char* sparsity : {"0.4", "0.8"}) {
    auto cut = tiny_conv_net();
    make_pruner(choose_method(method("svd"), {{"sparsity", sparsity}}), kInputs)->attach(*cut);
    costs.push_back(budget->cost(*cut));
  }
  EXPECT_EQ(costs[0], 1.0);
  EXPECT_LT(costs[1], 1.0);
  EXPECT_LT(costs[2], costs[1]);
}

TEST(TargetOfMethods, AtSparsityZeroNoWeightIsCut) {
  for (const char* name : {"svd", "tucker2"}) {
    auto net = tiny_conv_net();
    const UpdateReport report = train(name, *net, {{"sparsity", "0"}});
    EXPECT_TRUE(nn::weight_factors(*net).empty()) << name;
    EXPECT_EQ(report.sparsity().value(), 0.0) << name;
  }
}

// Arrangements leave 4 of 9 weights, kernels go from there: of the second layer a kernel more of
// each of 16 filters is 4 weights at 64 places.
TEST(TargetOfMethods, KernelsOfFiltersMeetMacsBelowWhatArrangementsLeave) {
  auto net = tiny_conv_net();
  const double asked = 0.3 * macs(*net);
  const UpdateReport report = train("pconv", *net, {{"target", "macs=0.3"}});
  EXPECT_LE(macs(*net), asked);
  EXPECT_GT(macs(*net) + 16 * 4 * 64, asked);
  EXPECT_EQ(report.budget, "macs");
  // What goes by arrangements alone is told where less was asked for.
  auto less = tiny_conv_net();
  const double dense = macs(*less);
  const UpdateReport of_less = train("pconv", *less, {{"target", "macs=0.8"}});
  EXPECT_NEAR(macs(*less) / dense, (64.0 * 4 * (8 * 3 + 16 * 8) + 3072) / dense, 1e-9);
  ASSERT_FALSE(of_less.notes.empty());
  EXPECT_NE(of_less.notes.back().find("asked for a saving of macs 0.2"), std::string::npos);
}

// Layers are halved: N and the layer's products say what is left.
TEST(TargetOfMethods, NOfMIsHalvedUntilTheMacsAreThere) {
  auto net = tiny_conv_net();
  const double dense = macs(*net);
  const UpdateReport report =
      train("domino-search", *net, {{"target", "macs=0.4"}, {"pattern", "n:4"}});
  EXPECT_LE(macs(*net), 0.4 * dense);
  EXPECT_GT(macs(*net), 0.4 * dense / 2.0);
  EXPECT_NEAR(report.reached.value(), 1.0 - macs(*net) / dense, 1e-12);
  expect_error<ValueError>(
      [&] {
        auto other = tiny_conv_net();
        train("domino-search", *other, {{"target", "macs=0.1"}, {"pattern", "n:4"}});
      },
      {"with one of every 4", "macs=0.1"});
}

TEST(TargetOfMethods, TeacherAndStudentMeetTheSame) {
  auto net = tiny_conv_net();
  const double dense = macs(*net);
  const auto pruner =
      make_pruner(choose_method(method("prune-then-distill"), {{"target", "macs=0.4"}}), kInputs);
  std::vector<UpdateReport> reports;
  pruner->on_update = [&](const UpdateReport& report) { reports.push_back(report); };
  nn::Sgd sgd(*net, {.lr = 0.01});
  auto loader = tiny_loader();
  nn::fit(*net, sgd, nn::ConstantLr(0.01), *loader, {pruner.get()}, {.epochs = 2});
  ASSERT_GE(reports.size(), 2U);
  EXPECT_NEAR(reports.front().reached.value(), 0.6, 1e-3);  // the teacher, by weights
  EXPECT_LE(macs(*net), 0.4 * dense);
  // A channel of the first layer has 27 + 144 products at 64 places, of the second 72 and three.
  EXPECT_GT(macs(*net) + 64.0 * (72 + 3), 0.4 * dense);
}

// conv 3>8 without a gate, six of 8>8 (576 weights) at 64 places. Of channels, a block's first
// convolution reads sums that are always open (the first layer makes them), its second what the
// first gives.
TEST(GatedCost, CountsWhatGatesLeave) {
  auto net = tiny_residual_net();
  const double first = 64.0 * 27 * 8;
  const double conv = 64.0 * 9 * 8 * 8;
  const double whole = first + 6 * conv + 24;
  const GatedCost blocks(*net, kSample, GateGrain::Blocks, {"4", "5"});
  EXPECT_NEAR(blocks.share({{"4", 0.5}, {"5", 0.25}}),
              (whole - 2 * conv * 0.5 - 2 * conv * 0.75) / whole,
              1e-12);
  const GatedCost positions(*net, kSample, GateGrain::Positions, {"3.main.0"});
  EXPECT_NEAR(positions.share({{"3.main.0", 0.4}}), (whole - 0.6 * conv) / whole, 1e-12);
  const GatedCost channels(
      *net, kSample, GateGrain::Channels, {"3.main.0", "3.main.3", "4.main.0"});
  EXPECT_NEAR(
      channels.share({{"3.main.0", 0.5}, {"3.main.3", 0.25}, {"4.main.0", 0.75}}),
      (whole - conv * (1.0 - 0.5) - conv * (1.0 - 0.25 * 0.5) - conv * (1.0 - 0.75)) / whole,
      1e-12);
}

/// MACs of an image in evaluation, in shares of the dense network's.
double executed(nn::Module& net, double dense) {
  net.eval();
  auto loader = tiny_loader();
  loader->start_epoch(0);
  const Tensor images = loader->next()->images.to(Layout::Nchw);
  const NoGrad no_grad;
  const MacCounter counter;
  net(Variable(images));
  return static_cast<double>(counter.macs()) / static_cast<double>(images.size(0)) / dense;
}

// FBS opens a number of channels: what it computes is what was expected, less what is zero by
// itself.
TEST(TargetOfGates, FbsComputesTheShareOfMacsThatWasAsked) {
  for (const double share : {0.7, 0.5}) {
    auto net = tiny_residual_net();
    const double dense = macs(*net);
    train("fbs", *net, {{"target", cat("macs=", share)}});
    EXPECT_LE(executed(*net, dense), share + 0.01) << share;
    EXPECT_GT(executed(*net, dense), share - 0.15) << share;
  }
}

TEST(TargetOfGates, EveryMethodTellsTheSparsityThatMeetsTheMacs) {
  for (const Method& one : methods()) {
    if (one.when != When::Runtime) continue;
    SCOPED_TRACE(one.name);
    auto net = tiny_residual_net();
    const MethodChoice choice = choose_method(one, {{"target", "macs=0.6"}});
    const std::vector<std::string> notes = make_pruner(choice, kInputs)->attach(*net);
    ASSERT_FALSE(notes.empty());
    EXPECT_NE(notes.back().find("gates are to leave out S = 0."), std::string::npos);
    // A run that goes on finds the same on the network with gates, and trains.
    EXPECT_NO_THROW(train(one.name, *net, {{"target", "macs=0.6"}}));
    expect_error<ValueError>(
        [&] {
          auto other = tiny_residual_net();
          make_pruner(choose_method(one, {{"target", "macs=0.01"}}), kInputs)->attach(*other);
        },
        {"macs can't be brought to 0.01"});
  }
}

// Blocks that are skipped half of the time leave half of their products.
TEST(TargetOfGates, BlocksAreOpenAsOftenAsTheMacsAllow) {
  auto net = tiny_residual_net();
  const double conv = 64.0 * 9 * 8 * 8;
  const double whole = 64.0 * 27 * 8 + 6 * conv + 24;
  const MethodChoice choice = choose_method(
      method("convnet-aig"), {{"target", cat("macs=", 1.0 - 4 * conv * 0.25 / whole)}});
  const auto notes = make_pruner(choice, kInputs)->attach(*net);
  EXPECT_NE(notes.back().find("S = 0.2500"), std::string::npos) << notes.back();
}

TEST(TargetOfMethods, WhatItCannotMeanIsSaid) {
  const auto refusal = [](const std::string& name, OptionTexts given) {
    try {
      make_pruner(choose_method(method(name), given), kInputs);
    } catch (const NotImplemented& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  for (const Method& one : methods()) {
    if (one.when != When::Runtime) continue;
    for (const char* target : {"bytes=0.5", "params=0.5", "latency=0.5"}) {
      EXPECT_NE(refusal(one.name, {{"target", target}}).find("Give macs"), std::string::npos)
          << one.name << " " << target;
    }
    EXPECT_EQ(refusal(one.name, {{"target", "sparsity=0.5"}}), "") << one.name;
  }
  EXPECT_NE(refusal("svd", {{"target", "macs=0.5"}, {"ranks", "energy"}}).find("ranks energy"),
            std::string::npos);
  EXPECT_NE(refusal("supermask", {{"target", "macs=0.5"}, {"select", "drawn"}}).find("drawn"),
            std::string::npos);
  EXPECT_NE(refusal("ftwt", {{"target", "macs=0.5"}, {"mass", "0.9"}}).find("mass"),
            std::string::npos);
  EXPECT_NE(refusal("domino-search", {{"target", "latency=0.5"}}).find("macs"), std::string::npos);
}

}  // namespace
}  // namespace espalier::prune
