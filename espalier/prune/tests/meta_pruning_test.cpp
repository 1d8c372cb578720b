// SPDX-License-Identifier: Apache-2.0
/// MetaPruning: the card's properties of generated weights, PyTorch's steps with channels that
/// don't exist (oracles/meta_pruning.py), the search, and the traps.
#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/generated_weight.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/actions/generated_weights.h>
#include <espalier/prune/budgets/budget.h>
#include <espalier/prune/search/shares.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::mask_of;
using testing::Options;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::tiny_residual_net;

constexpr double kStep = 2e-6;  // of two steps in float32

/// 1 where the first `outputs` and the first `inputs` of a weight meet.
Tensor corner(const Shape& weight, int64_t outputs, int64_t inputs) {
  Tensor crop = Tensor::zeros(weight, DType::U8);
  const int64_t rest = weight.numel() / (weight[0] * weight[1]);
  for (int64_t i = 0; i < crop.numel(); ++i) {
    const bool in_use = i / (rest * weight[1]) < outputs && i / rest % weight[1] < inputs;
    crop.data<uint8_t>()[i] = in_use ? 1 : 0;
  }
  return crop;
}

std::vector<double> values_of(const nn::GeneratedWeight& form, const Tensor& crop) {
  const NoGrad no_grad;
  return form.generated(crop).value().to_vector<double>();
}

TEST(GeneratedWeight, OfWidthsThatDontMatterAreCropsOfOneAnother) {
  // The card: with the first layer's weights at 0 it is a slimmable network.
  const Shape shape = {4, 6, 3, 3};
  nn::GeneratedWeight form(shape);
  const Tensor small = corner(shape, 2, 3);
  const Tensor large = corner(shape, 3, 5);
  const auto compare = [&] {
    const auto a = values_of(form, small);
    const auto b = values_of(form, large);
    const auto in = small.to_vector<int>();
    int64_t different = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      if (in[i] == 1 && a[i] != b[i]) ++different;
      if (in[i] == 0) {
        EXPECT_EQ(a[i], 0.0) << i;
      }
    }
    return different;
  };
  EXPECT_GT(compare(), 50);  // of 54
  form.encode.value.value().fill_(0.0);
  EXPECT_EQ(compare(), 0);
}

TEST(GeneratedWeight, KnowsTheSharesThatAreInUse) {
  EXPECT_EQ(nn::widths_of(corner({4, 6, 3, 3}, 2, 3)), (std::pair<double, double>(0.5, 0.5)));
  EXPECT_EQ(nn::widths_of(corner({4, 5}, 4, 1)), (std::pair<double, double>(0.2, 1.0)));
}

TEST(GeneratedWeight, UsesItsCropInTrainingAndAllInEvaluation) {
  // Trap: what the last step had in use is not what the network is.
  nn::Linear layer({.in = 4, .out = 3, .bias = false});
  auto form = std::make_shared<nn::GeneratedWeight>(layer.weight.shape());
  layer.form = form;
  form->set_crop(corner({3, 4}, 2, 1));
  EXPECT_EQ(form->effective(layer.weight).value.value().to_vector<double>(),
            values_of(*form, corner({3, 4}, 2, 1)));
  layer.eval();
  EXPECT_EQ(form->effective(layer.weight).value.value().to_vector<double>(), values_of(*form, {}));
  layer.weight.set_mask(corner({3, 4}, 1, 4));
  EXPECT_EQ(form->effective(layer.weight).value.value().to_vector<double>(),
            values_of(*form, corner({3, 4}, 1, 4)));
  EXPECT_THROW(form->set_crop(corner({4, 3}, 1, 1)), ShapeError);
  EXPECT_THROW(nn::GeneratedWeight({3}), ShapeError);
  EXPECT_THROW(nn::GeneratedWeight({3, 4}, 0), ValueError);
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/meta_pruning.inc>
  };
  return values;
}

std::unique_ptr<nn::Sequential> oracle_net() {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 2, .out_channels = 4, .padding = 1, .bias = false}));
  net->add(nn::BatchNorm2d({.channels = 4}));
  net->add(nn::ReLU());
  net->add(nn::Conv2d({.in_channels = 4, .out_channels = 3, .kernel = 1, .bias = false}));
  net->add(nn::BatchNorm2d({.channels = 3}));
  net->add(nn::ReLU());
  net->add(nn::AdaptiveAvgPool2d(1));
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 3, .out = 2}));
  return net;
}

/// `0.form.encode` as the script has it, `0.encode`; nothing for the stored weights.
std::string name_there(const std::string& name, const std::string& prefix = "") {
  const size_t at = name.find("form.");
  return prefix + (at == std::string::npos ? name : name.substr(0, at) + name.substr(at + 5));
}

TEST(MetaPruningOracle, StepsAreThoseOfNetworksWithoutTheOtherChannels) {
  const auto net = oracle_net();
  const LayerPatterns pattern(make_pattern("channel"));
  const PruneSettings settings;
  const PruneInputs inputs{.input_shape = {2, 3, 3}};
  put_generated_weights({*net, nullptr, pattern, settings, inputs}, 3);
  for (const nn::NamedParameter& one : net->named_parameters()) {
    const auto value = oracle().find(name_there(one.name));
    if (value == oracle().end()) continue;
    one.parameter->value.value().copy_(
        Tensor::from(one.parameter->shape(), value->second).to(DType::F32));
  }
  std::map<std::string, std::shared_ptr<nn::Form>> forms;
  for (const nn::FormSite& site : nn::form_sites(*net)) {
    ASSERT_NE(site.form(), nullptr) << site.weight;
    forms[site.weight] = *site.slot.form;
  }
  const auto crop = [&](const std::string& weight, int64_t outputs, int64_t inputs_in_use) {
    auto& form = dynamic_cast<nn::GeneratedWeight&>(*forms.at(weight));
    form.set_crop(corner(form.generate_bias.shape(), outputs, inputs_in_use));
  };
  const Tensor images = Tensor::from({4, 2, 3, 3}, oracle().at("images")).to(DType::F32);
  const Tensor labels = Tensor::from({4}, oracle().at("labels")).to(DType::I64);
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9}, 1e-3);
  const std::vector<std::pair<int64_t, int64_t>> steps = {{3, 2}, {2, 3}};
  for (size_t step = 0; step < steps.size(); ++step) {
    const auto [first, second] = steps[step];
    crop("0.weight", first, 2);
    crop("3.weight", second, first);
    crop("8.weight", 2, second);
    net->zero_grad();
    const Variable loss = cross_entropy((*net)(Variable(images)), labels);
    EXPECT_NEAR(loss.item(), oracle().at(cat("loss ", step)).front(), kStep) << step;
    loss.backward();
    sgd.step();
  }
  int64_t compared = 0;
  for (const nn::NamedParameter& one : net->named_parameters()) {
    const auto right = oracle().find(name_there(one.name, "after "));
    if (right == oracle().end()) continue;
    SCOPED_TRACE(one.name);
    expect_near(one.parameter->value.value(), right->second, kStep);
    ++compared;
  }
  EXPECT_EQ(compared, 3 * 4 + 5);

  // What a candidate of the search has: the weights of its masks.
  const auto candidate = net->clone();
  candidate->eval();
  candidate->parameter("0.weight").set_mask(corner({4, 2, 3, 3}, 3, 2));
  candidate->parameter("3.weight").set_mask(corner({3, 4, 1, 1}, 1, 3));
  candidate->parameter("8.weight").set_mask(corner({2, 3}, 2, 1));
  for (const nn::FormSite& site : nn::form_sites(*candidate)) {
    SCOPED_TRACE(site.weight);
    const std::vector<int> mask = mask_of(*site.slot.parameter);
    const auto is = site.form()->effective(*site.slot.parameter).value.value().to_vector<double>();
    std::vector<double> kept;
    for (size_t i = 0; i < mask.size(); ++i) {
      if (mask[i] == 1) kept.push_back(is[i]);
      if (mask[i] == 0) {
        EXPECT_EQ(is[i], 0.0);
      }
    }
    expect_near(Tensor::from<double>({static_cast<int64_t>(kept.size())}, kept),
                oracle().at("candidate " + site.layer),
                kStep);
  }
}

TEST(RandomWidths, AreAlikeInAllLayersOfASumAndOthersInEveryStep) {
  // Trap: widths of a shortcut are shared; crops are of the first channels always.
  const auto net = tiny_residual_net();
  const LayerPatterns pattern(make_pattern("channel"));
  const PruneSettings settings;
  const PruneInputs inputs{.input_shape = {3, 8, 8}, .seed = 4};
  nn::Sgd sgd(*net, {});
  const Subject subject{*net, &sgd, pattern, settings, inputs};
  put_generated_weights(subject, 4);
  const auto widths = random_widths({0.1, 1.0, 31});
  std::set<double> seen;
  for (int64_t step = 0; step < 20; ++step) {
    nn::TrainState state{.model = *net, .optimizer = sgd, .step = step};
    widths->before_step(subject, state);
    double sum = 0.0;  // of the stem
    for (const nn::FormSite& site : nn::form_sites(*net)) {
      const nn::Effective e = site.form()->effective(*site.slot.parameter);
      const Tensor mask = e.sparsity.support
                              ? e.sparsity.support->mask()
                              : Tensor::ones(site.slot.parameter->shape(), DType::U8);
      const auto [in, out] = nn::widths_of(mask);
      EXPECT_EQ(mask.to_vector<int>(),
                corner(mask.shape(),
                       std::llround(out * static_cast<double>(mask.size(0))),
                       std::llround(in * static_cast<double>(mask.size(1))))
                    .to_vector<int>());
      if (site.weight == "0.weight") sum = out;
      if (site.weight.ends_with("main.0.weight") || site.weight == "8.weight") {
        EXPECT_EQ(in, sum) << site.weight;
      }
      if (site.weight.ends_with("main.3.weight")) {
        EXPECT_EQ(out, sum) << site.weight;
      }
    }
    seen.insert(sum);
  }
  EXPECT_GE(seen.size(), 4U);  // of eight widths
}

/// A network costs the product of what neighbours keep, and is worth what is near to `right`.
struct Chain {
  explicit Chain(Candidate best) : right(std::move(best)) {
    for (size_t p = 0; p < right.size(); ++p) task.places.push_back({.name = "", .units = 20});
    task.cost = [](const Candidate& ratios) {
      double cost = 0.0;
      for (size_t p = 0; p + 1 < ratios.size(); ++p) cost += ratios[p] * ratios[p + 1];
      return cost / static_cast<double>(ratios.size() - 1);
    };
    task.evaluate = [this](const Candidate& ratios) {
      tried.push_back(ratios);
      double off = 0.0;
      for (size_t p = 0; p < ratios.size(); ++p) off += std::abs(ratios[p] - right[p]);
      return nn::Evaluation{.correct = std::llround(1000.0 * (10.0 - off)), .total = 10'000};
    };
    task.seed = 3;
  }
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  Candidate right;
  std::vector<Candidate> tried;
  RatioTask task;
};

TEST(SharesSearch, TriesNothingBeyondTheBudgetAndComesNearerByGenerations) {
  Chain chain({0.9, 0.3, 0.8, 0.25, 0.9, 0.3});
  chain.task.budget = 0.3;
  std::vector<std::string> notes;
  chain.task.notes = &notes;
  const Candidate best = shares_search({.candidates = 400, .population = 40})->search(chain.task);
  ASSERT_EQ(chain.tried.size(), 400U);
  for (const Candidate& one : chain.tried) {
    EXPECT_LE(chain.task.cost(one), 0.3 + 1e-9);
    for (const double share : one) EXPECT_GE(share, 0.1 - 1e-9);
  }
  const auto distance = [&](const Candidate& one) {
    double off = 0.0;
    for (size_t p = 0; p < one.size(); ++p) off += std::abs(one[p] - chain.right[p]);
    return off;
  };
  const auto least = [&](size_t first, size_t last) {
    double result = 1e9;
    for (size_t i = first; i < last; ++i) result = std::min(result, distance(chain.tried[i]));
    return result;
  };
  EXPECT_LT(distance(best), 0.5 * least(0, 40));  // the first generation is random
  EXPECT_EQ(distance(best), least(0, 400));
  EXPECT_EQ(notes.size(), 1U);
}

TEST(SharesSearch, LowersWhatAtRandomHardlyFits) {
  // Of random widths one in millions is as small: they go down one by one.
  Chain chain({0.2, 0.1, 0.2, 0.1, 0.2, 0.1, 0.2, 0.1});
  chain.task.budget = 0.03;
  shares_search({.candidates = 60, .population = 20, .parents = 5})->search(chain.task);
  std::set<Candidate> different(chain.tried.begin(), chain.tried.end());
  EXPECT_GT(different.size(), 20U);
  for (const Candidate& one : chain.tried) EXPECT_LE(chain.task.cost(one), 0.03 + 1e-9);
}

TEST(SharesSearch, TellsOfATargetBelowTheSmallestWidths) {
  Chain chain({0.5, 0.5, 0.5});
  chain.task.budget = 0.001;
  std::vector<std::string> notes;
  chain.task.notes = &notes;
  EXPECT_EQ(shares_search({.candidates = 5, .population = 5, .parents = 2})->search(chain.task),
            (Candidate{0.1, 0.1, 0.1}));
  EXPECT_EQ(notes.size(), 2U);
}

TEST(SharesSearch, ResumesWithTheSameCandidates) {
  Chain chain({0.9, 0.3, 0.8});
  chain.task.budget = 0.4;
  SearchState middle;
  chain.task.keep = [&](const SearchState& state) {
    if (chain.tried.size() == 25) middle = state;
  };
  const SharesOptions options{.candidates = 50, .population = 10, .parents = 3};
  const Candidate whole = shares_search(options)->search(chain.task);
  const std::vector<Candidate> all = chain.tried;
  chain.tried.clear();
  chain.task.saved = middle;
  chain.task.keep = {};
  EXPECT_EQ(shares_search(options)->search(chain.task), whole);
  EXPECT_EQ(chain.tried, std::vector<Candidate>(all.begin() + 25, all.end()));
}

/// Trained for three epochs, the last one and a half of them without learning.
std::unique_ptr<nn::Sequential> pruned(const Options& more, uint64_t fresh = 0) {
  auto net = tiny_conv_net();
  PruneInputs inputs{.input_shape = {3, 8, 8}, .seed = 4};
  if (fresh > 0) inputs.fresh_model = [=](uint64_t) { return tiny_conv_net(fresh); };
  Options given = {{"episodes", "30"}, {"population", "10"}, {"parents", "3"}, {"hidden", "4"}};
  given.insert(more.begin(), more.end());
  const auto hook =
      make_pruner("meta-pruning", parse_settings(method("meta-pruning"), given), inputs);
  hook->attach(*net);
  nn::Sgd sgd(*net, {.lr = 0.0});
  auto loader = tiny_loader();
  nn::fit(*net, sgd, nn::ConstantLr(0.0), *loader, {hook.get()}, {.epochs = 2});
  return net;
}

TEST(MetaPruning, EndsWithinTheTargetWithTheFirstChannelsOfEachLayer) {
  const auto net = pruned({{"target", "macs=0.4"}});
  const nn::ModelCount count = nn::count_model(*net, {3, 8, 8});
  EXPECT_LE(count.total.macs_effective, 0.4 * static_cast<double>(count.total.macs_dense));
  EXPECT_GT(count.total.macs_effective, 0.3 * static_cast<double>(count.total.macs_dense));
  for (const char* name : {"0.weight", "3.weight"}) {
    const nn::Parameter& weight = net->parameter(name);
    if (!weight.masked()) continue;
    const Tensor mask = weight.mask();
    const auto [in, out] = nn::widths_of(mask);
    EXPECT_EQ(mask_of(weight),
              corner(mask.shape(),
                     std::llround(out * static_cast<double>(mask.size(0))),
                     std::llround(in * static_cast<double>(mask.size(1))))
                  .to_vector<int>())
        << name;
  }
}

TEST(MetaPruning, CountsTheParametersOfNetworksNotOfWhatMakesThem) {
  const PruneInputs inputs{.input_shape = {3, 8, 8}};
  const auto net = pruned({{"target", "params=0.4"}});
  const auto dense = tiny_conv_net();
  const auto budget = make_budget(BudgetKind::Params, *dense, inputs, 1);
  const double share = budget->cost(*net->clone()) / budget->cost(*dense->clone());
  EXPECT_LE(share, 0.4);
  EXPECT_GT(share, 0.3);
}

TEST(MetaPruning, TheFinalNetworkInheritsNoWeights) {
  const auto net = pruned({{"sparsity", "0.5"}}, 99);
  EXPECT_FALSE(nn::has_forms(*net));
  const auto fresh = tiny_conv_net(99);
  for (const nn::NamedParameter& one : net->named_parameters()) {
    const auto is = one.parameter->value.value().to_vector<double>();
    const auto was = fresh->parameter(one.name).value.value().to_vector<double>();
    const std::vector<int> mask = mask_of(*one.parameter);
    for (size_t i = 0; i < is.size(); ++i) EXPECT_EQ(is[i], mask[i] == 1 ? was[i] : 0.0);
  }
}

TEST(MetaPruning, SameSeedSameWidths) {
  const auto a = pruned({{"sparsity", "0.5"}});
  const auto b = pruned({{"sparsity", "0.5"}});
  for (const nn::NamedParameter& one : a->named_parameters()) {
    EXPECT_EQ(mask_of(*one.parameter), mask_of(b->parameter(one.name))) << one.name;
    EXPECT_EQ(one.parameter->value.value().to_vector<float>(),
              b->parameter(one.name).value.value().to_vector<float>());
  }
}

TEST(MetaPruning, NeverJudgesWithoutMeasuringBatchNorm) {
  // Trap: with statistics of other widths accuracies are noise.
  EXPECT_THROW(parse_settings(method("meta-pruning"), {{"norm-batches", "0"}}), ValueError);
}

}  // namespace
}  // namespace espalier::prune
