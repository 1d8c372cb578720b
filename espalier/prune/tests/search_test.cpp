// SPDX-License-Identifier: Apache-2.0
/// Searches on functions whose best candidate is known, the agent beside PyTorch
/// (oracles/amc.py made the numbers), and the oracle that judges networks.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include <espalier/core/parallel.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/curvature/norm_statistics.h>
#include <espalier/prune/search/agent.h>
#include <espalier/prune/search/oracle.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::tiny_conv_net;
using testing::TinyDataset;

constexpr double kUpdatedTolerance = 2e-5;  // of three updates in float32

const std::map<std::string, std::vector<double>>& numbers() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/amc.inc>
  };
  return values;
}

const Candidate kBest = {0.1, 0.9, 0.35, 0.6, 0.2};

/// 0 at kBest, less elsewhere.
double nearness(const Candidate& candidate) {
  double sum = 0.0;
  for (size_t i = 0; i < candidate.size(); ++i) {
    sum -= (candidate[i] - kBest[i]) * (candidate[i] - kBest[i]);
  }
  return sum;
}

using Reward = std::function<double(const Candidate&)>;

void run(Search& search, int64_t times, const Reward& reward) {
  for (int64_t i = 0; i < times; ++i) {
    const Candidate candidate = search.propose();
    search.tell(candidate, reward(candidate));
  }
}

std::unique_ptr<Search> by_tournament(uint64_t seed) {
  return evolution(std::vector<Gene>(5),
                   {.rule = Parents::Tournament,
                    .population = 30,
                    .parents = 8,
                    .mutated = 0.4,
                    .mutate =
                        [](size_t, double value, int64_t, Rng& rng) {
                          return std::clamp(value + 0.1 * rng.normal(), 0.0, 1.0);
                        }},
                   seed);
}

TEST(Searches, EvolutionsComeNearerThanRandomNumbers) {
  double at_random = 0.0;
  double by_generations = 0.0;
  double one_by_one = 0.0;
  const auto best = [](std::unique_ptr<Search> search) {
    run(*search, 600, nearness);
    return search->rewards()[search->best()];
  };
  const EvolutionOptions generations = {
      .population = 40, .parents = 8, .mutants = 20, .crossovers = 15};
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    at_random += best(random_search(std::vector<Gene>(5), seed)) / 8;
    by_generations += best(evolution(std::vector<Gene>(5), generations, seed)) / 8;
    one_by_one += best(by_tournament(seed)) / 8;
  }
  EXPECT_GT(by_generations, 0.7 * at_random);  // rewards are negative
  EXPECT_GT(one_by_one, 0.2 * at_random);
  EXPECT_GT(one_by_one, -0.005);  // 0.03 off in each number
}

TEST(Searches, EvolutionFindsTheBestOfAllChoices) {
  // 11^6 candidates; the best has .1, .19, .28, ..
  const std::vector<Gene> widths(6, Gene{.low = 0.1, .high = 1.0, .choices = 11});
  const Reward hits = [](const Candidate& candidate) {
    double right = 0.0;
    for (size_t i = 0; i < candidate.size(); ++i) {
      right -= std::abs(std::round((candidate[i] - 0.1) / 0.09) - static_cast<double>(i));
    }
    return right;
  };
  const auto search = evolution(widths, {.population = 50}, 5);
  run(*search, 2000, hits);
  EXPECT_EQ(search->rewards()[search->best()], 0.0);
  const Candidate& best = search->candidates()[search->best()];
  for (size_t i = 0; i < best.size(); ++i)
    EXPECT_NEAR(best[i], 0.1 + 0.09 * static_cast<double>(i), 1e-12);
}

TEST(Searches, ChildrenOfGenerationsHaveTheGenesOfTheBest) {
  // No genes change and all children are crossovers: every gene is one of a parent's.
  const auto search = evolution(
      std::vector<Gene>(5), {.population = 10, .parents = 2, .mutants = 0, .crossovers = 10}, 3);
  run(*search, 10, nearness);
  std::vector<size_t> order(10);
  for (size_t i = 0; i < 10; ++i) order[i] = i;
  std::ranges::sort(
      order, [&](size_t a, size_t b) { return search->rewards()[a] > search->rewards()[b]; });
  const std::vector<Candidate> parents = {search->candidates()[order[0]],
                                          search->candidates()[order[1]]};
  std::set<double> of_second;
  for (int child = 0; child < 10; ++child) {
    const Candidate one = search->propose();
    for (size_t g = 0; g < one.size(); ++g) {
      EXPECT_TRUE(one[g] == parents[0][g] || one[g] == parents[1][g]);
      if (one[g] == parents[1][g]) of_second.insert(one[g]);
    }
    search->tell(one, nearness(one));
  }
  EXPECT_FALSE(of_second.empty());
}

TEST(Searches, AreToldOfFirstCandidatesFirst) {
  const Candidate identity = {1, 1, 1, 1, 1};
  const auto search = evolution(std::vector<Gene>(5), {.first = {identity}}, 3);
  EXPECT_EQ(search->propose(), identity);
  EXPECT_EQ(search->propose(), identity);  // until it was told of one
  run(*search, 1, nearness);
  EXPECT_NE(search->propose(), identity);
}

TEST(Searches, AKilledOneGoesOnWithTheSameProposals) {
  const auto make = [](int kind) {
    const std::vector<Gene> genes(5);
    return kind == 0 ? random_search(genes, 9)
           : kind == 1
               ? evolution(
                     genes, {.population = 12, .parents = 4, .mutants = 5, .crossovers = 5}, 9)
               : by_tournament(9);
  };
  for (const int kind : {0, 1, 2}) {
    const auto whole = make(kind);
    run(*whole, 37, nearness);
    const SearchState saved = whole->state();
    run(*whole, 60, nearness);
    const auto resumed = make(kind);
    resumed->load_state(saved);
    run(*resumed, 60, nearness);
    EXPECT_EQ(whole->candidates(), resumed->candidates()) << kind;
  }
}

TEST(Searches, RefuseWhatContradicts) {
  EXPECT_THROW(evolution({{}}, {.population = 5, .parents = 6}, 1), ValueError);
  EXPECT_THROW(evolution({{}}, {.mutated = 1.5}, 1), ValueError);
  EXPECT_THROW(evolution({{}}, {.first = {{1, 2}}}, 1), ShapeError);
  EXPECT_THROW(random_search({{}}, 1)->best(), ValueError);
}

/// Goes `times` through two places that are told apart by one number.
std::vector<Candidate> walk(Agent& agent, int64_t times, const Reward& reward) {
  std::vector<Candidate> all;
  for (int64_t i = 0; i < times; ++i) {
    Candidate candidate;
    for (const double place : {0.0, 1.0}) {
      const std::vector<double> state = {place, candidate.empty() ? 1.0 : candidate.back()};
      candidate.push_back(agent.act(state));
    }
    agent.finish(candidate, reward(candidate));
    all.push_back(candidate);
  }
  return all;
}

const DdpgOptions kQuick = {
    .hidden = 64, .actor_lr = 1e-3, .critic_lr = 5e-3, .follow = 0.05, .noise_decay = 0.98};

TEST(Ddpg, LearnsTheBestNumberOfEachPlace) {
  const Reward reward = [](const Candidate& a) {
    return -(a[0] - 0.2) * (a[0] - 0.2) - (a[1] - 0.8) * (a[1] - 0.8);
  };
  for (const uint64_t seed : {1u, 2u}) {
    const auto agent = ddpg_agent(2, 2, kQuick, seed);
    const auto all = walk(*agent, 400, reward);
    Candidate mean = {0.0, 0.0};
    for (size_t i = all.size() - 20; i < all.size(); ++i) {
      for (size_t place = 0; place < 2; ++place) mean[place] += all[i][place] / 20;
    }
    EXPECT_NEAR(mean[0], 0.2, 0.1) << seed;
    EXPECT_NEAR(mean[1], 0.8, 0.1) << seed;
  }
}

// A later number can make up for an earlier one: the agent sees what the place before kept.
TEST(Ddpg, ReadsItsState) {
  const Reward reward = [](const Candidate& a) {
    return -std::abs(a[0] + a[1] - 1.0) - 0.3 * std::abs(a[0] - 0.3);
  };
  const auto agent = ddpg_agent(2, 2, kQuick, 4);
  const auto all = walk(*agent, 400, reward);
  double first = 0.0;
  double last = 0.0;
  for (size_t i = 0; i < 60; ++i) {
    first += reward(all[i]) / 60;
    last += reward(all[all.size() - 60 + i]) / 60;
  }
  EXPECT_GT(last, 0.5 * first);  // rewards are negative
}

TEST(Ddpg, IsTheSameOnAnyNumberOfThreadsAndAfterAKill) {
  const Reward reward = [](const Candidate& a) { return a[0] * a[1]; };
  DdpgOptions options = kQuick;
  options.warmup = 10;
  std::vector<Candidate> expected;
  for (const int threads : {1, 2, 4}) {
    set_num_threads(threads);
    const auto agent = ddpg_agent(2, 2, options, 7);
    const auto all = walk(*agent, 30, reward);
    if (threads == 1) expected = all;
    EXPECT_EQ(all, expected) << threads;
  }
  set_num_threads(0);
  for (const int64_t killed : {4, 17}) {
    const auto agent = ddpg_agent(2, 2, options, 7);
    walk(*agent, killed, reward);
    const auto resumed = ddpg_agent(2, 2, options, 7);
    resumed->load_state(agent->state());
    const auto rest = walk(*resumed, 30 - killed, reward);
    EXPECT_EQ(rest, std::vector<Candidate>(expected.begin() + killed, expected.end())) << killed;
  }
}

// A trap of implementations: only the last step is paid, and bootstrapping has to carry it back.
TEST(Ddpg, EveryStepRemembersTheRewardOfTheWhole) {
  const auto agent = ddpg_agent(1, 3, {.hidden = 4}, 1);
  for (const double state : {0.25, 0.5, 0.75}) agent->act(std::vector<double>{state});
  agent->finish({}, -0.125);
  const Tensor replay = agent->state().at("replay");
  ASSERT_EQ(replay.shape(), Shape({3, 5}));  // state, action, reward, next state, last
  for (int64_t step = 0; step < 3; ++step) EXPECT_EQ(replay.at({step, 2}), -0.125);
  EXPECT_EQ(replay.at({0, 3}), 0.5);
  EXPECT_EQ(replay.at({1, 3}), 0.75);
  EXPECT_EQ(replay.at({0, 4}), 0.0);
  EXPECT_EQ(replay.at({1, 4}), 0.0);
  EXPECT_EQ(replay.at({2, 4}), 1.0);
}

TEST(Ddpg, ExploresAsTheCardSays) {
  EXPECT_EQ(exploration({}, 99), 0.0);  // random by then
  EXPECT_EQ(exploration({}, 100), 0.5);
  EXPECT_NEAR(exploration({}, 150), 0.038472, 5e-7);
}

TEST(Ddpg, UpdatesActorAndCriticAsPyTorchDoes) {
  const DdpgOptions options = {.hidden = 4,
                               .actor_lr = 0.03,
                               .critic_lr = 0.05,
                               .follow = 0.1,
                               .batch = 8,
                               .replay = 6,
                               .discount = 0.9,
                               .warmup = 0,
                               .noise = 0.0};
  const auto agent = ddpg_agent(3, 1, options, 1);
  SearchState start = agent->state();
  const auto networks = {"actor", "critic", "actor-target", "critic-target"};
  for (const char* net : networks) {
    for (const char* part : {"0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias"}) {
      Tensor& tensor = start.at(cat(net, ".", part));
      tensor =
          Tensor::from(tensor.shape(), numbers().at(cat("before ", net, ".", part))).to(DType::F32);
    }
  }
  start["replay"] = Tensor::from<double>({5, 9}, numbers().at("replay"));
  agent->load_state(start);
  const std::vector<double>& states = numbers().at("new states");
  for (size_t i = 0; i < 3; ++i) {
    const double action = agent->act({states.data() + 3 * i, 3});
    EXPECT_NEAR(action, numbers().at("chosen")[i], kUpdatedTolerance);
    agent->finish({action}, numbers().at("new rewards")[i]);
  }
  const SearchState end = agent->state();
  EXPECT_NEAR(end.at("progress").at({1}), numbers().at("baseline")[0], 1e-12);
  for (const char* net : networks) {
    for (const char* part : {"0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias"}) {
      const std::string name = cat(net, ".", part);
      const auto got = end.at(name).to_vector<double>();
      const auto& right = numbers().at("after " + name);
      for (size_t i = 0; i < right.size(); ++i) {
        EXPECT_NEAR(got[i], right[i], kUpdatedTolerance) << name << " " << i;
      }
    }
  }
}

/// Counts the samples that are read, by index.
class CountedDataset : public TinyDataset {
 public:
  void read(int64_t index, std::span<uint8_t> pixels) const override {
    read_.insert(index);
    TinyDataset::read(index, pixels);
  }
  mutable std::set<int64_t> read_;
};

PruneInputs inputs_of(std::shared_ptr<const data::Dataset> dataset) {
  return {.dataset = std::move(dataset),
          .loading = {.batch_size = 16, .shuffle = true, .seed = 1},
          .input_shape = {3, 8, 8},
          .seed = 6};
}

/// Sets the first filter's weights to a number.
void set_filter(const Candidate& candidate, nn::Module& copy) {
  Tensor& weight = copy.parameter("0.weight").value.value();
  for (int64_t i = 0; i < 27; ++i) weight.data<float>()[i] = static_cast<float>(candidate[0]);
}

TEST(Oracle, JudgesACopyOnSamplesThatWereSetApart) {
  const auto net = tiny_conv_net();
  const auto before = net->state_dict().at("0.weight").to_vector<float>();
  const auto statistics = net->state_dict().at("1.running_mean").to_vector<float>();
  const auto dataset = std::make_shared<CountedDataset>();
  Oracle oracle(*net, inputs_of(dataset), {.samples = 20}, set_filter);
  const nn::Evaluation value = oracle.evaluate({0.5});
  EXPECT_EQ(value.total, 20);
  EXPECT_EQ(dataset->read_.size(), 20u);

  // By hand: the same samples, the same change.
  auto copy = net->clone();
  set_filter({0.5}, *copy);
  data::Loader apart(data::hold_out(std::make_shared<TinyDataset>(), 20, 6).held_out,
                     {.batch_size = 16, .workers = 0});
  const nn::Evaluation expected = nn::evaluate(*copy, apart);
  EXPECT_EQ(value.correct, expected.correct);
  EXPECT_EQ(value.loss, expected.loss);
  EXPECT_EQ(net->state_dict().at("0.weight").to_vector<float>(), before);
  EXPECT_EQ(net->state_dict().at("1.running_mean").to_vector<float>(), statistics);
}

TEST(Oracle, MeasuresBatchNormOnTheOtherSamples) {
  const auto net = tiny_conv_net();
  Oracle oracle(*net,
                inputs_of(std::make_shared<TinyDataset>()),
                {.samples = 24, .norm_batches = 2},
                set_filter);
  const double got = oracle.evaluate({0.5}).loss;

  auto copy = net->clone();
  set_filter({0.5}, *copy);
  const data::HeldOut parts = data::hold_out(std::make_shared<TinyDataset>(), 24, 6);
  data::Loader rest(
      parts.rest, {.batch_size = 16, .shuffle = true, .drop_last = true, .seed = 1, .workers = 0});
  recalibrate_batch_norm(*copy, batches_like(rest), 2);
  data::Loader apart(parts.held_out, {.batch_size = 16, .workers = 0});
  EXPECT_EQ(got, nn::evaluate(*copy, apart).loss);
  EXPECT_NE(got, nn::evaluate(*net, apart).loss);
}

TEST(Oracle, SetsHalfOfTheDataApartAtMost) {
  const auto net = tiny_conv_net();
  Oracle oracle(*net, inputs_of(std::make_shared<TinyDataset>()), {.samples = 5000}, set_filter);
  EXPECT_EQ(oracle.evaluate({0.5}).total, 32);
}

TEST(Oracle, AsksEveryCandidateOnceAndRemembersAfterAKill) {
  const auto net = tiny_conv_net();
  int64_t made = 0;
  const auto counted = [&](const Candidate& candidate, nn::Module& copy) {
    ++made;
    set_filter(candidate, copy);
  };
  const PruneInputs inputs = inputs_of(std::make_shared<TinyDataset>());
  Oracle oracle(*net, inputs, {.samples = 20}, counted);
  const nn::Evaluation a = oracle.evaluate({0.5});
  oracle.evaluate({0.25});
  oracle.evaluate({0.5});
  EXPECT_EQ(made, 2);
  Oracle resumed(*net, inputs, {.samples = 20}, counted);
  resumed.load_state(oracle.state());
  EXPECT_EQ(resumed.evaluate({0.5}).loss, a.loss);
  EXPECT_EQ(resumed.evaluate({0.5}).correct, a.correct);
  EXPECT_EQ(resumed.evaluated(), 2);
  EXPECT_EQ(made, 2);
}

TEST(Oracle, NeedsData) {
  const auto net = tiny_conv_net();
  EXPECT_THROW(Oracle(*net, {}, {}, set_filter), ValueError);
}

}  // namespace
}  // namespace espalier::prune
