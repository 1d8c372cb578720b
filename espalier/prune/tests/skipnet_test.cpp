// SPDX-License-Identifier: Apache-2.0
/// SkipNet: which blocks have gates, what they cost and count, and how they learn.
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/killed_run.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using espalier::testing::TemporaryFolder;
using testing::SaveAt;
using testing::tiny_loader;
using testing::tiny_residual_net;

constexpr double kTolerance = 1e-5;

std::unique_ptr<Pruner> skipnet(OptionTexts given, const Shape& image = {3, 8, 8}) {
  given.emplace("sparsity", "1");
  return make_pruner(
      "skipnet", parse_settings(method("skipnet"), given), {.input_shape = image, .seed = 4});
}

std::vector<nn::Head*> heads_of(nn::Module& net) {
  std::vector<nn::Head*> out;
  for (const nn::PlacedGate& one : nn::placed_gates(net)) {
    out.push_back(dynamic_cast<nn::Head*>(one.decision));
  }
  return out;
}

/// All images decide alike.
void decide(nn::Head& head, double bias) {
  head.weight.value.value().fill_(0.0);
  head.bias.value.value().fill_(bias);
}

Variable some_images(int64_t count, const Shape& image = {3, 8, 8}) {
  Tensor out = Tensor::empty(image.inserted(0, count));
  Rng rng(1, "images");
  fill_normal_(out, rng);
  return Variable(out);
}

std::vector<double> logits(nn::Module& net, const Variable& images) {
  const nn::EvalScope eval(net);
  const NoGrad no_grad;
  return net(images).value().to_vector<double>();
}

TEST(SkipNet, TheFirstBlockAlwaysRunsAndAtFirstAllDo) {
  const auto net = nn::make_model("resnet20");
  const Variable images = some_images(2, {3, 32, 32});
  const std::vector<double> before = logits(*net, images);
  skipnet({}, {3, 32, 32})->attach(*net);
  std::vector<std::string> names;
  for (const nn::PlacedGate& one : nn::placed_gates(*net)) names.push_back(one.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"layer1.1",
                                      "layer1.2",
                                      "layer2.0",
                                      "layer2.1",
                                      "layer2.2",
                                      "layer3.0",
                                      "layer3.1",
                                      "layer3.2"}));
  const std::vector<double> after = logits(*net, images);
  for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(after[i], before[i], 1e-4);
}

// A gate reads its block's input, the output of the block before it: closed, nothing of the block
// but its shortcut is computed.
TEST(SkipNet, ASkippedBlockIsItsShortcut) {
  auto net = tiny_residual_net();
  skipnet({})->attach(*net);
  const Variable images = some_images(2);
  decide(*heads_of(*net)[0], -1.0);
  auto without = tiny_residual_net();
  for (const nn::NamedParameter& p : without->named_parameters()) {
    // relu(x + 0): what a block of zeros gives.
    if (p.name.starts_with("4.main.4")) p.parameter->value.value().fill_(0.0);
  }
  const std::vector<double> expected = logits(*without, images);
  const std::vector<double> skipped = logits(*net, images);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(skipped[i], expected[i], kTolerance);
}

// By value and by derivative: alpha times the open share, through the hard step to p.
TEST(SkipNet, ThePriceIsOfWhatIsOpen) {
  auto net = tiny_residual_net();
  const auto hook = skipnet({{"skip-reward", "0.5"}});
  hook->attach(*net);
  nn::Sgd sgd(*net, {}, 0.0);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  hook->before_step(state);
  decide(*heads_of(*net)[0], 0.0);  // p = 1/2 is open
  decide(*heads_of(*net)[1], -1.0);
  (*net)(some_images(3));
  const Variable penalty = hook->penalty(state);
  EXPECT_NEAR(penalty.item(), 0.5 / 2, kTolerance);  // one of two gates
  penalty.backward();
  // A closed gate is pushed as well: alpha / N p (1 - p), the mean over images.
  EXPECT_NEAR(heads_of(*net)[0]->bias.value.grad().item(), 0.25 * 0.25, kTolerance);
  EXPECT_NEAR(heads_of(*net)[1]->bias.value.grad().item(), 0.25 * 0.196612, kTolerance);
}

TEST(SkipNet, NoMoreThanTheSparsityIsPaidFor) {
  auto net = tiny_residual_net();
  for (const auto& [sparsity, pays] :
       std::map<std::string, bool>{{"0.5", false}, {"0.51", true}, {"0.9", true}}) {
    const auto hook = skipnet({{"sparsity", sparsity}});
    hook->attach(*net);
    nn::Sgd sgd(*net, {}, 0.0);
    nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
    hook->before_step(state);
    decide(*heads_of(*net)[0], 1.0);
    decide(*heads_of(*net)[1], -1.0);  // half of the gates are open
    (*net)(some_images(3));
    EXPECT_EQ(hook->penalty(state).defined(), pays) << sparsity;
  }
}

/// A step by rewards on two gates whose decisions are sure.
struct RewardedStep {
  explicit RewardedStep(const std::string& sparsity) {
    hook = skipnet({{"rewards-from", "0"}, {"sparsity", sparsity}, {"reward-weight", "1"}});
    hook->attach(*net);
    sgd = std::make_unique<nn::Sgd>(*net, nn::SgdOptions{}, 0.0);
    state = std::make_unique<nn::TrainState>(
        nn::TrainState{.model = *net, .optimizer = *sgd, .total_steps = 10});
    net->train();
    hook->before_step(*state);
    decide(*heads_of(*net)[0], -9.0);
    decide(*heads_of(*net)[1], 9.0);
    state->logits = (*net)(some_images(4));
    state->labels = Tensor::from<int64_t>({4}, {0, 1, 2, 0});
  }
  std::unique_ptr<nn::Sequential> net = tiny_residual_net();
  std::unique_ptr<Pruner> hook;
  std::unique_ptr<nn::Sgd> sgd;
  std::unique_ptr<nn::TrainState> state;
};

TEST(SkipNet, RewardsMoveEachGateByWhatFollowsFromIt) {
  RewardedStep step("1");
  cross_entropy(step.state->logits, step.state->labels).backward();
  for (nn::Head* head : heads_of(*step.net)) {  // as published, the loss trains the blocks alone
    EXPECT_FALSE(head->bias.value.grad().defined());
  }
  RewardedStep other("1");
  const std::vector<double> loss =
      cross_entropy(other.state->logits, other.state->labels, 0.0, Reduction::None)
          .value()
          .to_vector<double>();
  other.hook->penalty(*other.state).backward();
  double first = 0.0;
  double second = 0.0;
  const double p = 1.0 / (1.0 + std::exp(9.0));
  for (const double one : loss) {
    first += -(0.1 / 2 - one) * (0.0 - p);  // skipped: -R d log(1-p) / db
    second += -(0.0 - one) * p;             // ran: -R (1 - p'), p' = 1 - p
  }
  EXPECT_NEAR(heads_of(*other.net)[0]->bias.value.grad().item() / first, 1.0, 1e-3);
  EXPECT_NEAR(heads_of(*other.net)[1]->bias.value.grad().item() / second, 1.0, 1e-3);
}

TEST(SkipNet, RewardsBeginWhereTheyAreToldTo) {
  auto net = tiny_residual_net();
  const auto hook = skipnet({{"rewards-from", "0.5"}});
  hook->attach(*net);
  nn::Sgd sgd(*net, {}, 0.0);
  for (const auto& [step, draws] : std::map<int64_t, bool>{{0, false}, {49, false}, {50, true}}) {
    nn::TrainState state{.model = *net, .optimizer = sgd, .step = step, .total_steps = 100};
    hook->before_step(state);
    for (const nn::Head* head : heads_of(*net)) EXPECT_EQ(head->draws, draws) << step;
  }
}

// Noise at test is the commonest fault of such code.
TEST(SkipNet, EvaluationDrawsNothing) {
  auto net = tiny_residual_net();
  skipnet({})->attach(*net);
  const Variable images = some_images(8);
  for (nn::Head* head : heads_of(*net)) decide(*head, 0.1);
  const std::vector<double> hard = logits(*net, images);
  for (nn::Head* head : heads_of(*net)) head->draws = true;
  EXPECT_EQ(logits(*net, images), hard);
  const auto before = net->rng_state();
  EXPECT_EQ(logits(*net, images), hard);
  for (const auto& [name, position] : net->rng_state()) {
    EXPECT_EQ(position.to_vector<int64_t>(), before.at(name).to_vector<int64_t>()) << name;
  }
  // Heads draw for themselves: of 200 images two with p = 1/2 agree on about half.
  for (nn::Head* head : heads_of(*net)) decide(*head, 0.0);
  net->train();
  (*net)(some_images(200));
  const std::vector<nn::PlacedGate> gates = nn::placed_gates(*net);
  const auto a = gates[0].gate->take_decided().open.value().to_vector<double>();
  const auto b = gates[1].gate->take_decided().open.value().to_vector<double>();
  int64_t open = 0;
  int64_t same = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    open += a[i] > 0;
    same += a[i] == b[i];
  }
  EXPECT_NEAR(static_cast<double>(open), 100.0, 35.0);
  EXPECT_NEAR(static_cast<double>(same), 100.0, 35.0);
}

TEST(SkipNet, ARunByRewardsThatWasKilledEndsWithTheSameBits) {
  const auto train = [](nn::Module& net,
                        nn::Optimizer& optimizer,
                        const std::vector<nn::TrainHook*>& hooks,
                        std::optional<nn::TrainProgress> resume = {}) {
    auto loader = tiny_loader();
    nn::fit(net,
            optimizer,
            nn::ConstantLr(0.02),
            *loader,
            hooks,
            {.epochs = 3, .resume = std::move(resume)});
  };
  const OptionTexts options = {{"rewards-from", "0.25"}};
  auto net = tiny_residual_net();
  auto hook = skipnet(options);
  hook->attach(*net);
  nn::Sgd sgd(*net, {.lr = 0.02, .momentum = 0.9}, 1e-2);
  SaveAt save(6, *hook);
  std::map<std::string, Tensor> streams;
  struct Streams : nn::TrainHook {
    explicit Streams(std::map<std::string, Tensor>& to) : out(to) {}
    void after_step(nn::TrainState& state) override {
      if (state.step == 6) out = testing::copied(state.model.rng_state());
    }
    std::map<std::string, Tensor>& out;
  } save_streams(streams);
  train(*net, sgd, {hook.get(), &save, &save_streams});

  auto resumed = tiny_residual_net(77);
  auto hook2 = skipnet(options);
  hook2->attach(*resumed);
  nn::Sgd sgd2(*resumed, {.lr = 0.02, .momentum = 0.9}, 1e-2);
  resumed->load_state_dict(save.saved.model);
  resumed->load_rng_state(streams);
  sgd2.load_state_dict(save.saved.optimizer);
  hook2->load_state(save.saved.pruner);
  train(*resumed, sgd2, {hook2.get()}, save.saved.progress);
  for (const auto& [name, tensor] : resumed->state_dict()) {
    EXPECT_EQ(tensor.to_vector<double>(), net->state_dict().at(name).to_vector<double>()) << name;
  }
}

/// ResNet-20 with gates that decide differently for images of `some_images`.
struct Gated {
  Gated() {
    skipnet({}, {3, 32, 32})->attach(*net);
    for (size_t i = 0; i < 8; ++i) {
      nn::Head& head = *heads_of(*net)[i];
      Rng rng(i, "head");
      fill_normal_(head.weight.value.value(), rng, 0.0, 3.0);
      head.bias.value.value().fill_(0.0);
    }
  }
  std::unique_ptr<nn::Module> net = nn::make_model("resnet20");
  Variable images = some_images(6, {3, 32, 32});
};

// Executed multiply-accumulates: those of blocks that ran, by image, and of all heads.
TEST(SkipNet, ExecutedMacsAreThoseOfTheBlocksThatRan) {
  Gated gated;
  const nn::ModelCount dense =
      nn::count_model(*nn::make_model("resnet20"), Variable(Tensor::zeros({1, 3, 32, 32})));
  std::map<std::string, int64_t> of_block;
  for (const nn::LayerCount& layer : dense.layers) {
    of_block[layer.name.substr(0, layer.name.rfind('.'))] += layer.macs_dense;
  }
  const nn::EvalScope eval(*gated.net);
  const NoGrad no_grad;
  const MacCounter counter;
  (*gated.net)(gated.images);
  const int64_t executed = counter.macs();
  int64_t expected = 6 * dense.total.macs_dense;
  int64_t skipped = 0;
  for (const nn::PlacedGate& one : nn::placed_gates(*gated.net)) {
    const auto* head = dynamic_cast<nn::Head*>(one.decision);
    expected += 6 * head->weight.numel();
    for (const double open : one.gate->take_decided().open.value().to_vector<double>()) {
      if (open == 0.0) expected -= of_block.at(one.name);
      skipped += open == 0.0;
    }
  }
  EXPECT_GT(skipped, 6);
  EXPECT_LT(skipped, 42);
  EXPECT_EQ(executed, expected);
}

// What a network could compute is counted without regard to images; heads are no prunable weights.
TEST(SkipNet, CountsAreThoseOfTheNetworkWithoutGates) {
  Gated gated;
  const Variable example(Tensor::zeros({1, 3, 32, 32}));
  const nn::ModelCount plain = nn::count_model(*nn::make_model("resnet20"), example);
  const nn::ModelCount count = nn::count_model(*gated.net, example);
  int64_t heads = 0;
  for (const nn::Head* head : heads_of(*gated.net)) heads += head->weight.numel();
  EXPECT_EQ(count.total.macs_dense, 40'551'040);
  EXPECT_EQ(count.total.macs_effective, plain.total.macs_effective);
  EXPECT_EQ(count.total.weights, plain.total.weights);
  EXPECT_EQ(count.total.macs_executed, plain.total.macs_executed + heads);
  EXPECT_EQ(count.total.params, plain.total.params + heads + 8);
}

TEST(SkipNet, ASavedNetworkDecidesAlike) {
  Gated gated;
  const TemporaryFolder folder;
  nn::save_model(folder / "net", "resnet20", {}, *gated.net);
  const nn::SavedModel loaded = nn::load_model(folder / "net");
  const NoGrad no_grad;
  const MacCounter first;
  const std::vector<double> expected = logits(*gated.net, gated.images);
  const int64_t macs = first.macs();
  const MacCounter second;
  EXPECT_EQ(logits(*loaded.module, gated.images), expected);
  EXPECT_EQ(second.macs(), macs);
}

}  // namespace
}  // namespace espalier::prune
