// SPDX-License-Identifier: Apache-2.0
/// AC/DC: its plan of phases, PyTorch's masks and weights over one (oracles/ac_dc.py), and the
/// traps.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::kExact;
using testing::linear_chain;
using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;

std::vector<int64_t> steps(Phase which, const PhaseOptions& options, int64_t total) {
  std::vector<int64_t> steps;
  for (const Moment& moment :
       phases_schedule(which, options)->moments({.steps = total}, Sparsity(0.9))) {
    EXPECT_EQ(moment.sparsity, Sparsity(which == Phase::Sparse ? 0.9 : 0.0));
    steps.push_back(moment.step);
  }
  return steps;
}

TEST(PhasesSchedule, HasThePublishedPlans) {
  using List = std::vector<int64_t>;
  // WideResNet on CIFAR-100, 200 epochs; ResNet-50 on ImageNet, 100 epochs.
  EXPECT_EQ(steps(Phase::Sparse, {}, 200), (List{10, 50, 90, 130, 170}));
  EXPECT_EQ(steps(Phase::Dense, {}, 200), (List{30, 70, 110, 150}));
  const PhaseOptions imagenet{.begin = 0.1, .length = 0.05};
  EXPECT_EQ(steps(Phase::Sparse, imagenet, 100), (List{10, 20, 30, 40, 50, 60, 70, 85}));
  EXPECT_EQ(steps(Phase::Dense, imagenet, 100), (List{15, 25, 35, 45, 55, 65, 75}));
}

TEST(PhasesSchedule, EndsSparseHoweverShortTheTrainingIs) {
  for (int64_t total = 0; total < 40; ++total) {
    const auto sparse = steps(Phase::Sparse, {}, total);
    const auto dense = steps(Phase::Dense, {}, total);
    ASSERT_EQ(sparse.size(), dense.size() + 1) << total;
    for (size_t i = 0; i < dense.size(); ++i) {
      EXPECT_LT(sparse[i], dense[i]) << total;
      EXPECT_LT(dense[i], sparse[i + 1]) << total;
    }
    EXPECT_LE(sparse.back(), total);
  }
  EXPECT_EQ(steps(Phase::Sparse, {.begin = 0.5, .length = 0.5, .last = 0.6}, 100),
            (std::vector<int64_t>{60}));  // no pair fits
  EXPECT_THROW(phases_schedule(Phase::Sparse, {.begin = 0.9}), ValueError);
  EXPECT_THROW(phases_schedule(Phase::Sparse, {.length = 0.0}), ValueError);
}

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/ac_dc.inc>
  };
  return values;
}

TEST(AcDcOracle, MasksAndWeightsFollowPyTorchThroughAllPhases) {
  constexpr int64_t kSteps = 20;
  nn::Sequential net;
  net.add(nn::Linear({.in = 6, .out = 5, .bias = false}));
  net.add(nn::ReLU());
  net.add(nn::Linear({.in = 5, .out = 3, .bias = false}));
  net.to(DType::F64);
  for (const auto& [name, tensor] : net.state_dict()) {
    Tensor(tensor).copy_(Tensor::from(tensor.shape(), oracle().at(name)));
  }
  const Tensor images = Tensor::from({3, 4, 6}, oracle().at("images"));
  const Tensor labels = Tensor::from({3, 4}, oracle().at("labels")).to(DType::I64);
  nn::Sgd sgd(net, {.lr = 0.3, .momentum = 0.9}, 0.01);
  const auto pruner = make_pruner("ac-dc", parse_settings(method("ac-dc"), {{"sparsity", "0.6"}}));
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = kSteps};
  pruner->before_training(state);
  int compared = 0;
  for (state.step = 0; state.step < kSteps;) {
    pruner->before_step(state);
    const auto mask = oracle().find(cat("mask ", state.step));
    if (mask != oracle().end()) {
      std::vector<int> found = mask_of(net.parameter("0.weight"));
      const std::vector<int> second = mask_of(net.parameter("2.weight"));
      found.insert(found.end(), second.begin(), second.end());
      EXPECT_EQ(found, std::vector<int>(mask->second.begin(), mask->second.end())) << state.step;
    }
    sgd.zero_grad();
    const int64_t batch = state.step % 3;
    const auto of_batch = [&](const Tensor& all) {
      return all.slice(0, batch, batch + 1).contiguous();
    };
    cross_entropy(net(Variable(of_batch(images).reshape({4, 6}))), of_batch(labels).reshape({4}))
        .backward();
    pruner->after_backward(state);
    sgd.step();
    ++state.step;
    pruner->after_step(state);
    for (const char* name : {"0.weight", "2.weight"}) {
      const auto right = oracle().find(cat("after ", state.step - 1, " ", name));
      if (right == oracle().end()) continue;
      expect_near(net.parameter(name).value.value(), right->second, kExact);
      ++compared;
    }
  }
  EXPECT_EQ(compared, 20);
  EXPECT_NE(oracle().at("mask 1"), oracle().at("mask 17"));  // what was gone comes back
  EXPECT_EQ(pruner->updates().size(), 9U);
}

/// What a step began and ended with.
struct Step {
  std::map<std::string, std::vector<int>> mask;
  std::map<std::string, std::vector<float>> weights;
  std::map<std::string, std::vector<float>> momentum;  // before the step
  std::vector<float> trained;                          // of 3.weight, after the step
  std::vector<float> statistics;
};

class Watcher : public nn::TrainHook {
 public:
  void before_step(nn::TrainState& state) override {
    Step step;
    for (const nn::NamedParameter& one : state.model.named_parameters()) {
      step.mask[one.name] = mask_of(*one.parameter);
      step.weights[one.name] = one.parameter->value.value().to_vector<float>();
      step.momentum[one.name] =
          state.optimizer.slots(one.name).at("momentum_buffer").to_vector<float>();
    }
    step.statistics = state.model.state_dict().at("4.running_mean").to_vector<float>();
    steps.push_back(step);
  }
  void after_step(nn::TrainState& state) override {
    steps.back().trained = state.model.parameter("3.weight").value.value().to_vector<float>();
  }
  std::vector<Step> steps;
};

const char* const kWeights[] = {"0.weight", "3.weight", "7.weight"};

/// 20 steps: sparse from 1, 5, 9, 13, 17; dense from 3, 7, 11, 15.
std::vector<Step> watched_training(const std::map<std::string, std::string>& given) {
  const auto net = tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.02, .momentum = 0.9}, 1e-3);
  auto loader = tiny_loader();
  const auto pruner = make_pruner(
      "ac-dc", parse_settings(method("ac-dc"), given), {.input_shape = {3, 8, 8}, .seed = 2});
  Watcher watcher;
  nn::fit(*net, sgd, nn::ConstantLr(0.02), *loader, {pruner.get(), &watcher}, {.epochs = 5});
  EXPECT_EQ(pruner->updates().size(), 9U);
  return watcher.steps;
}

bool is_sparse(size_t step) {
  return step >= 17 || (step > 0 && step % 4 != 3 && step % 4 != 0);
}

int64_t alive(const std::vector<int>& mask) {
  return std::count(mask.begin(), mask.end(), 1);
}

TEST(AcDc, MasksAreFixedInSparsePhasesAndLiftedInDenseOnes) {
  const std::vector<Step> steps = watched_training({{"sparsity", "0.8"}});
  ASSERT_EQ(steps.size(), 20U);
  for (size_t s = 0; s < steps.size(); ++s) {
    int64_t kept = 0;
    int64_t total = 0;
    for (const char* name : kWeights) {
      const std::vector<int>& mask = steps[s].mask.at(name);
      kept += alive(mask);
      total += static_cast<int64_t>(mask.size());
      if (s > 0 && is_sparse(s) && is_sparse(s - 1)) {
        EXPECT_EQ(mask, steps[s - 1].mask.at(name));
      }
      for (size_t i = 0; i < mask.size(); ++i) {
        if (mask[i] == 0) {
          ASSERT_EQ(steps[s].weights.at(name)[i], 0.0F) << s;
        }
      }
    }
    EXPECT_EQ(kept, is_sparse(s) ? kept_count(total, Sparsity(0.8)) : total) << s;
  }
}

TEST(AcDc, ADensePhaseBeginsFromZeroWithoutAnyMomentum) {
  // Trap: momentum of before, of the weights that lived too (it is of the sparse network's loss).
  const std::vector<Step> steps = watched_training({{"sparsity", "0.8"}});
  for (const size_t s : {3U, 7U, 11U, 15U}) {
    size_t moved = 0;
    const std::vector<int>& before = steps[s - 1].mask.at("3.weight");
    for (size_t i = 0; i < before.size(); ++i) {
      if (before[i] == 1) continue;
      EXPECT_EQ(steps[s].weights.at("3.weight")[i], 0.0F);
      moved += steps[s].trained[i] != 0.0F ? 1 : 0;
    }
    EXPECT_GT(moved, before.size() / 2);
    for (const auto& [name, momentum] : steps[s].momentum) {
      for (const float m : momentum) ASSERT_EQ(m, 0.0F) << name << " at " << s;
    }
    // Batch norm's statistics go on.
    EXPECT_NE(steps[s].statistics, steps[0].statistics);
  }
  // A sparse phase keeps the momentum of what stays.
  const auto& kept = steps[5].momentum.at("3.weight");
  EXPECT_GT(std::count_if(kept.begin(), kept.end(), [](float m) { return m != 0.0F; }), 0);
}

TEST(AcDc, OneThresholdIsForAllLayersTheFirstAndTheLastToo) {
  const std::vector<Step> steps = watched_training({{"sparsity", "0.8"}});
  float least_kept = 1e9F;
  float most_removed = 0.0F;
  for (const char* name : kWeights) {
    EXPECT_LT(alive(steps[1].mask.at(name)), static_cast<int64_t>(steps[1].mask.at(name).size()))
        << name;
    for (size_t i = 0; i < steps[1].mask.at(name).size(); ++i) {
      const float size = std::abs(steps[1].weights.at(name)[i]);
      const float before = std::abs(steps[0].weights.at(name)[i]);
      if (steps[1].mask.at(name)[i] == 1) least_kept = std::min(least_kept, size);
      if (steps[1].mask.at(name)[i] == 0) most_removed = std::max(most_removed, before);
    }
  }
  EXPECT_LT(most_removed, least_kept + 0.05F);  // a step of training lies between
}

TEST(AcDc, TwoOfFourKeepsTwoOfEachCellAndAllInBetween) {
  const std::vector<Step> steps = watched_training({{"pattern", "2:4"}});
  for (const size_t s : {5U, 19U}) {
    const std::vector<int>& mask = steps[s].mask.at("7.weight");  // (3, 1024)
    for (size_t i = 0; i < mask.size(); i += 4) {
      ASSERT_EQ(mask[i] + mask[i + 1] + mask[i + 2] + mask[i + 3], 2) << s;
    }
  }
  EXPECT_EQ(alive(steps[7].mask.at("7.weight")), 3 * 1024);
}

TEST(AcDc, CompressingTwiceIsCompressingOnce) {
  const auto net = linear_chain({{{1, 6}, {0.3F, -0.1F, 0.5F, 0.2F, -0.4F, 0.05F}}});
  const auto pruner = make_pruner("ac-dc", parse_settings(method("ac-dc"), {}));
  pruner->prune(*net, nullptr, Sparsity(0.5));
  const std::vector<int> once = mask_of(net->parameter("0.weight"));
  EXPECT_EQ(once, (std::vector<int>{1, 0, 1, 0, 1, 0}));
  const auto again = make_pruner("ac-dc", parse_settings(method("ac-dc"), {}));
  net->parameter("0.weight").set_mask({});
  again->prune(*net, nullptr, Sparsity(0.5));
  EXPECT_EQ(mask_of(net->parameter("0.weight")), once);
}

TEST(ReleaseMasks, TellsWhatCameBackAndCanKeepTheStateOfWhatLived) {
  const auto net = linear_chain({{{1, 4}, {1, 2, 3, 4}}});
  nn::Parameter& weight = net->parameter("0.weight");
  weight.set_mask(Tensor::from<uint8_t>({1, 4}, {1, 0, 0, 1}));
  nn::Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9});
  weight.value.set_grad(Variable(Tensor::ones({1, 4})));
  sgd.step();
  const PruneSettings settings;
  const PruneInputs inputs;
  const auto pattern = make_pattern("unstructured");
  const Subject subject{*net, &sgd, pattern, settings, inputs};
  const Moment now{.step = 5};
  const auto action = release_masks(StateOfLiving::Kept);
  const UpdateReport report = action->update(subject, {&now, 1}, {});
  EXPECT_EQ(report.step, 5);
  EXPECT_EQ(report.layers.at(0).changed, 2);
  EXPECT_EQ(report.sparsity(), Sparsity(0.0));
  EXPECT_FALSE(weight.masked());
  EXPECT_EQ(sgd.slots("0.weight").at("momentum_buffer").to_vector<float>(),
            (std::vector<float>{1, 0, 0, 1}));
  EXPECT_FALSE(action->refusal(*make_pattern("channel")).empty());
  EXPECT_TRUE(action->facts().revives);
}

}  // namespace
}  // namespace espalier::prune
