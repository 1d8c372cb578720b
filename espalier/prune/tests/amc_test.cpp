// SPDX-License-Identifier: Apache-2.0
/// AMC: rewards and the wall of its budget by hand, what its agent sees beside PyTorch
/// (oracles/amc.py made the numbers), and what it leaves of small networks.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include <espalier/core/parallel.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/search/walk.h>
#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::tiny_mlp;
using testing::TinyDataset;

const std::map<std::string, std::vector<double>>& numbers() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/amc.inc>
  };
  return values;
}

nn::Evaluation with_error(double error) {
  return {.correct = 1000 - static_cast<int64_t>(error * 1000), .total = 1000};
}

// The logarithm is natural; halving the error gains far more than halving the cost.
TEST(Amc, RewardsAreThoseOfTheCard) {
  constexpr double kCard = 1e-6;  // of its six digits
  EXPECT_NEAR(error_log_cost_reward(with_error(0.1), 1e8), -1.842068, kCard);
  EXPECT_NEAR(error_log_cost_reward(with_error(0.05), 1e8), -0.921034, kCard);
  EXPECT_NEAR(error_log_cost_reward(with_error(0.1), 5e7), -1.772754, kCard);
  EXPECT_NEAR(error_reward(with_error(0.1), 1e8), -0.1, 1e-12);
}

/// Layers of equal cost, 1/3 each, in thousandths.
RatioTask three_layers(double budget) {
  RatioTask task;
  for (const char* name : {"a", "b", "c"}) {
    task.places.push_back({.name = name, .units = 1000, .macs = 100});
  }
  task.cost = [](const Candidate& ratios) { return (ratios[0] + ratios[1] + ratios[2]) / 3; };
  task.budget = budget;
  return task;
}

TEST(Amc, TheWallLeavesAllLayersBehindTheirLeast) {
  const RatioTask task = three_layers(0.5);
  EXPECT_EQ(within_budget(task, {0.2, 0.2, 0.2}, 0, 1.1, 0.2), 1.0);
  EXPECT_EQ(within_budget(task, {1.0, 0.2, 0.2}, 1, 0.9, 0.2), 0.3);
  EXPECT_EQ(within_budget(task, {1.0, 0.3, 0.2}, 2, 0.9, 0.2), 0.2);
  // What fits is not touched, and nothing is below the least.
  EXPECT_EQ(within_budget(task, {0.2, 0.2, 0.2}, 0, 0.456, 0.2), 0.456);
  EXPECT_EQ(within_budget(task, {0.2, 0.2, 0.2}, 0, 0.01, 0.2), 0.2);
}

/// Says the same everywhere, and keeps what it has seen.
class Constant : public Agent {
 public:
  explicit Constant(double share, std::vector<std::vector<double>>* states = nullptr)
      : share_(share), states_(states) {}
  double act(std::span<const double> state) override {
    if (states_ != nullptr) states_->emplace_back(state.begin(), state.end());
    return share_;
  }
  void finish(const Candidate&, double) override {}
  SearchState state() const override { return {}; }
  void load_state(const SearchState&) override {}

 private:
  double share_;
  std::vector<std::vector<double>>* states_;
};

TEST(Amc, AnActionIsWhatStays) {
  RatioTask task = three_layers(1.0);
  task.evaluate = [](const Candidate&) { return with_error(0.5); };
  const auto search = [&](double share) {
    return walk_search(
               {.episodes = 1,
                .agent = [share](int64_t, uint64_t) { return std::make_unique<Constant>(share); },
                .reward = error_reward})
        ->search(task);
  };
  EXPECT_EQ(search(1.0), Candidate({1.0, 1.0, 1.0}));
  EXPECT_EQ(search(0.75), Candidate({0.75, 0.75, 0.75}));
}

TEST(Amc, ItsAgentSeesWhatThePublishedOneSees) {
  nn::Sequential net;
  const auto conv = [](int64_t in, int64_t out, int64_t kernel, int64_t stride) {
    return nn::Conv2d({.in_channels = in,
                       .out_channels = out,
                       .kernel = kernel,
                       .stride = stride,
                       .padding = kernel / 2});
  };
  net.add(conv(3, 8, 3, 2));
  net.add(nn::ReLU());
  net.add(conv(8, 12, 1, 1));
  net.add(nn::ReLU());
  net.add(conv(12, 10, 3, 1));
  net.add(nn::ReLU());
  net.add(nn::Flatten());
  net.add(nn::Linear({.in = 160, .out = 5}));
  std::vector<std::string> notes;
  const auto sites = weight_sites(prunable_weights(net), make_pattern("unstructured"), notes);
  RatioTask task{.places = searched_sites(net, sites, {3, 8, 8})};
  double dense = 0.0;
  for (size_t p = 0; p < 4; ++p) {
    EXPECT_EQ(static_cast<double>(task.places[p].macs), numbers().at("macs")[p]);
    dense += numbers().at("macs")[p];
  }
  task.cost = [](const Candidate& ratios) {
    double cost = 0.0;
    for (size_t p = 0; p < 4; ++p) cost += ratios[p] * numbers().at("macs")[p];
    return cost;
  };
  task.budget = dense;
  task.evaluate = [](const Candidate&) { return with_error(0.5); };
  std::vector<std::vector<double>> seen;
  walk_search({.episodes = 1,
               .agent = [&](int64_t, uint64_t) { return std::make_unique<Constant>(0.5, &seen); },
               .reward = error_reward})
      ->search(task);
  ASSERT_EQ(seen.size(), 4u);
  double saved = 0.0;
  for (size_t p = 0; p < 4; ++p) {
    ASSERT_EQ(seen[p].size(), static_cast<size_t>(kWalkFeatures));
    for (size_t f = 0; f < 7; ++f) {
      EXPECT_NEAR(seen[p][f], numbers().at("features")[7 * p + f], 1e-12) << p << " " << f;
    }
    EXPECT_NEAR(seen[p][7], saved / dense, 1e-12);
    EXPECT_NEAR(seen[p][8], numbers().at("rest")[p], 1e-12);
    EXPECT_EQ(seen[p][9], p == 0 ? 1.0 : 0.5);
    saved += 0.5 * numbers().at("macs")[p];
  }
}

// Only the first of three layers matters, and the budget is 1.2 of 3: it takes .8 of that.
TEST(Amc, EverySearcherFindsTheLayerThatMatters) {
  RatioTask task = three_layers(0.4);
  int64_t calls = 0;
  task.evaluate = [&](const Candidate& ratios) {
    ++calls;
    return with_error(1.0 - ratios[0]);
  };
  const std::map<std::string, std::function<std::unique_ptr<Agent>(int64_t, uint64_t)>> agents = {
      {"ddpg",
       [](int64_t places, uint64_t seed) {
         return ddpg_agent(
             kWalkFeatures, places, {.hidden = 32, .actor_lr = 1e-3, .warmup = 30}, seed);
       }},
      {"evolution",
       [](int64_t places, uint64_t seed) {
         return agent_of(evolution(std::vector<Gene>(static_cast<size_t>(places)), {}, seed));
       }},
      {"random", [](int64_t places, uint64_t seed) {
         return agent_of(random_search(std::vector<Gene>(static_cast<size_t>(places)), seed));
       }}};
  for (const auto& [name, agent] : agents) {
    calls = 0;
    const Candidate best =
        walk_search({.episodes = 100, .agent = agent, .reward = error_reward})->search(task);
    EXPECT_EQ(calls, 100);
    EXPECT_GE(best[0], 0.78) << name;
    EXPECT_LE(task.cost(best), 0.4 + 1e-12) << name;
    for (const double ratio : best) EXPECT_GE(ratio, 0.2) << name;
  }
}

TEST(Amc, AKilledSearchEndsWithTheSameSharesWithoutBeginningAnew) {
  for (const bool learns : {true, false}) {
    RatioTask task = three_layers(0.5);
    int64_t calls = 0;
    int64_t killed_after = 1000;
    task.evaluate = [&](const Candidate& ratios) {
      if (++calls > killed_after) throw ValueError("killed");
      return with_error(std::abs(ratios[1] - 0.45));
    };
    SearchState saved;
    task.keep = [&](const SearchState& state) { saved = state; };
    const WalkOptions options = {
        .episodes = 30,
        .agent =
            [&](int64_t places, uint64_t seed) {
              return learns ? ddpg_agent(kWalkFeatures, places, {.hidden = 16, .warmup = 8}, seed)
                            : agent_of(random_search(std::vector<Gene>(3), seed));
            },
        .reward = error_reward};
    const Candidate whole = walk_search(options)->search(task);
    const SearchState end = saved;
    calls = 0;
    killed_after = 17;
    EXPECT_THROW(walk_search(options)->search(task), ValueError);
    task.saved = saved;
    calls = 0;
    killed_after = 1000;
    EXPECT_EQ(walk_search(options)->search(task), whole);
    EXPECT_EQ(calls, 13);
    ASSERT_EQ(saved.size(), end.size());
    for (const auto& [name, tensor] : end) {
      EXPECT_EQ(saved.at(name).to_vector<double>(), tensor.to_vector<double>()) << name;
    }
  }
}

TEST(Amc, ALeastThatTheTargetDoesNotLeaveIsLoweredAndTold) {
  RatioTask task = three_layers(0.1);
  std::vector<std::string> notes;
  task.notes = &notes;
  task.evaluate = [](const Candidate&) { return with_error(0.5); };
  const Candidate best =
      walk_search({.episodes = 1,
                   .agent = [](int64_t, uint64_t) { return std::make_unique<Constant>(1.0); },
                   .reward = error_reward})
          ->search(task);
  EXPECT_LE(task.cost(best), 0.1 + 1e-12);
  EXPECT_NE(notes.at(0).find("0.1 of their units"), std::string::npos) << notes.at(0);
}

PruneInputs inputs() {
  return {.dataset = std::make_shared<TinyDataset>(),
          .loading = {.batch_size = 16, .shuffle = true, .seed = 1},
          .input_shape = {3, 8, 8},
          .seed = 5};
}

OptionTexts quick(OptionTexts given) {
  given.insert({{"episodes", "6"}, {"warm-up", "3"}, {"held-out", "32"}});
  return given;
}

UpdateReport prune_by_amc(nn::Module& net, const OptionTexts& given, const PruneInputs& with) {
  const MethodChoice choice = choose_method(method("amc"), given);
  return make_pruner(choice, with)->prune(net, nullptr, choice.settings.final());
}

double macs(nn::Module& net) {
  return static_cast<double>(nn::count_model(net, {3, 8, 8}).total.macs_effective);
}

TEST(Amc, MeetsATargetOfMacsToOneUnit) {
  for (const std::string share : {"0.6", "0.3"}) {
    auto weights = tiny_conv_net();
    const double dense = macs(*weights);
    const double asked = std::stod(share) * dense;
    const OptionTexts target = quick({{"target", "macs=" + share}});
    OptionTexts single = target;
    single["pattern"] = "unstructured";
    prune_by_amc(*weights, single, inputs());
    EXPECT_LE(macs(*weights), asked);
    EXPECT_GT(macs(*weights) + 64.0, asked);  // no weight of a convolution would fit any more

    auto channels = tiny_conv_net();
    prune_by_amc(*channels, target, inputs());
    EXPECT_LE(macs(*channels), asked);
    const double first = 64.0 * (27 + 9 * 16);
    const double second = 64.0 * 72 + 3 * 64;
    EXPECT_GT(macs(*channels) + std::max(first, second), asked);
  }
}

TEST(Amc, MeetsASparsityToOneUnit) {
  auto net = tiny_mlp();
  prune_by_amc(*net, quick({{"sparsity", "0.5"}, {"pattern", "unstructured"}}), inputs());
  int64_t kept = 0;
  for (const char* name : {"1.weight", "3.weight", "5.weight"}) kept += net->parameter(name).nnz();
  EXPECT_EQ(kept, kept_count(192 * 24 + 24 * 12 + 12 * 3, Sparsity(0.5)));
}

// Nothing is trained while it searches, and what stays keeps its bits.
TEST(Amc, LeavesTheNetworkAsItWasButForItsMasks) {
  auto net = tiny_conv_net();
  const auto before = tiny_conv_net()->state_dict();
  prune_by_amc(*net, quick({{"target", "macs=0.5"}}), inputs());
  for (const nn::NamedParameter& one : net->named_parameters()) {
    const auto value = one.parameter->value.value().to_vector<float>();
    const auto old = before.at(one.name).to_vector<float>();
    const auto mask = mask_of(*one.parameter);
    for (size_t i = 0; i < value.size(); ++i) {
      EXPECT_EQ(value[i], mask[i] == 1 ? old[i] : 0.0F) << one.name;
    }
  }
  for (const char* name : {"1.running_mean", "4.running_var"}) {
    EXPECT_EQ(net->state_dict().at(name).to_vector<float>(), before.at(name).to_vector<float>());
  }
}

// Inputs of the first layer and outputs of the last are nobody's to remove; a depthwise convolution
// follows the layer before it.
TEST(Amc, TheFirstInputsStayAndDepthwiseLayersHaveNoActionOfTheirOwn) {
  const auto net = nn::make_model("mobilenetv2", {.width = 0.25});
  std::vector<std::string> notes;
  const auto weights = prunable_weights(*net);
  const auto sites = channel_sites(*net, channel_groups(*net, {3, 32, 32}), weights, false, notes);
  const auto places = searched_sites(*net, sites, {3, 32, 32});
  EXPECT_LT(places.size(), weights.size());
  for (const SearchedSite& place : places) EXPECT_GT(place.in, 1) << place.name;  // depthwise: 1

  auto small = tiny_conv_net();
  prune_by_amc(*small, quick({{"target", "macs=0.4"}}), inputs());
  const std::vector<int> mask = mask_of(small->parameter("0.weight"));
  for (size_t filter = 0; filter < 8; ++filter) {
    for (size_t i = 1; i < 27; ++i) EXPECT_EQ(mask[27 * filter + i], mask[27 * filter]);
  }
}

std::vector<std::vector<int>> masks_of(nn::Module& net) {
  std::vector<std::vector<int>> masks;
  for (const nn::NamedParameter& one : net.named_parameters())
    masks.push_back(mask_of(*one.parameter));
  return masks;
}

TEST(Amc, IsTheSameOnAnyNumberOfThreads) {
  std::vector<std::vector<int>> expected;
  for (const int threads : {1, 2, 4}) {
    set_num_threads(threads);
    auto net = tiny_conv_net();
    prune_by_amc(*net, quick({{"target", "macs=0.5"}}), inputs());
    if (threads == 1) expected = masks_of(*net);
    EXPECT_EQ(masks_of(*net), expected) << threads;
  }
  set_num_threads(0);
}

/// Fails after so many reads, as if the process were killed.
class FailingDataset : public TinyDataset {
 public:
  explicit FailingDataset(int64_t reads) : left_(reads) {}
  void read(int64_t index, std::span<uint8_t> pixels) const override {
    if (--left_ < 0) throw IoError("killed");
    ++read_;
    TinyDataset::read(index, pixels);
  }
  mutable int64_t left_;
  mutable int64_t read_ = 0;
};

TEST(Amc, AKilledRunGoesOnFromItsFile) {
  const espalier::testing::TemporaryFolder folder;
  const OptionTexts given = quick({{"target", "macs=0.5"}, {"norm-batches", "0"}});
  const auto run = [&](nn::Module& net, int64_t reads, const std::filesystem::path& file) {
    const auto dataset = std::make_shared<FailingDataset>(reads);
    PruneInputs with = inputs();
    with.dataset = dataset;
    with.search = file;
    prune_by_amc(net, given, with);
    return dataset->read_;
  };
  auto whole = tiny_conv_net();
  const int64_t all = run(*whole, 100'000, {});
  auto killed = tiny_conv_net();
  EXPECT_THROW(run(*killed, all / 2, folder / "search.safetensors"), IoError);
  for (const auto& mask : masks_of(*killed)) {
    EXPECT_EQ(std::ranges::count(mask, 0), 0);  // nothing has changed
  }
  auto resumed = tiny_conv_net();
  EXPECT_LT(run(*resumed, 100'000, folder / "search.safetensors"), all * 2 / 3);
  EXPECT_EQ(masks_of(*resumed), masks_of(*whole));

  // Of another network, what was kept means nothing.
  auto other = tiny_conv_net(77);
  EXPECT_EQ(run(*other, 100'000, folder / "search.safetensors"), all);
}

TEST(Amc, RefusesWhatItHasNoDataFor) {
  auto net = tiny_conv_net();
  PruneInputs without = inputs();
  without.dataset = nullptr;
  EXPECT_THROW(prune_by_amc(*net, quick({{"target", "macs=0.5"}}), without), ValueError);
}

}  // namespace
}  // namespace espalier::prune
