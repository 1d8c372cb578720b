// SPDX-License-Identifier: Apache-2.0
/// One training step of SkipNet beside PyTorch's, in float64; see oracles/skipnet.py.
#include <espalier/autograd/ops.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/gated_script.h>

namespace espalier::prune {
namespace {

using testing::blocks_of_script;
using testing::fill_as_script;
using testing::gradients_of_script;

constexpr double kShifts[] = {0.065, 1.34};

void fill(nn::Sequential& net, double sharp) {
  fill_as_script(net);
  int64_t number = 0;
  for (const nn::PlacedGate& one : nn::placed_gates(net)) {
    auto& head = dynamic_cast<nn::Head&>(*one.decision);
    Tensor weight = made({1, 4}, 40 + number);
    for (int64_t i = 0; i < 4; ++i) weight.data<double>()[i] *= sharp;
    head.weight.value.value().copy_(weight);
    head.bias.value.value().fill_(sharp * (made({1}, 50 + number).item() - kShifts[number]));
    ++number;
  }
}

void check_step(Oracle& oracle, const std::string& name, double sharp, const OptionTexts& given) {
  auto net = blocks_of_script();
  OptionTexts options = {{"sparsity", "1"}, {"skip-reward", "0.3"}};
  options.insert(given.begin(), given.end());
  // By rewards this seed draws what is likelier, which the script takes.
  const PruneInputs inputs = {.input_shape = {3, 4, 4}, .seed = 1};
  const auto hook = make_pruner("skipnet", parse_settings(method("skipnet"), options), inputs);
  hook->attach(*net);
  net->to(DType::F64);
  fill(*net, sharp);
  nn::Sgd sgd(*net, {}, 0.0);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 10};
  net->train();
  hook->before_training(state);
  hook->before_step(state);

  // What is open, of a copy: the step itself forgets it.
  const Variable images(made({6, 3, 4, 4}, 31));
  auto copy = net->clone();
  for (const nn::PlacedGate& one : nn::placed_gates(*copy)) {
    dynamic_cast<nn::Head&>(*one.decision).draws = name == "rewards";
  }
  (*copy)(images);
  std::vector<Variable> open;
  for (const nn::PlacedGate& one : nn::placed_gates(*copy)) {
    open.push_back(one.gate->take_decided().open);
  }
  oracle.expect(name + ".open", concat(open, 1).value());

  state.logits = (*net)(images);
  state.labels = Tensor::from<int64_t>({6}, {0, 1, 2, 2, 1, 0});
  const Variable loss = cross_entropy(state.logits, state.labels);
  const Variable penalty = hook->penalty(state);
  oracle.expect(name + ".loss", reshape(loss, {1}).value());
  oracle.expect(name + ".penalty", reshape(penalty, {1}).value());
  (loss + penalty).backward();
  oracle.expect(name + ".gradients", gradients_of_script(*net));
}

TEST(SkipNetOracle, ATrainingStepIsPyTorchs) {
  Oracle oracle(ESPALIER_ORACLES, "skipnet");
  check_step(oracle, "supervised", 1.0, {});
  check_step(oracle, "rewards", 150.0, {{"rewards-from", "0"}, {"reward-weight", "0.7"}});
  oracle.expect_all_used();
}

}  // namespace
}  // namespace espalier::prune
