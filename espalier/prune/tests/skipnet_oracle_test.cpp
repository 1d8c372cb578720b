// SPDX-License-Identifier: Apache-2.0
/// One training step of SkipNet beside PyTorch's, in float64; see oracles/skipnet.py.
#include <espalier/autograd/ops.h>
#include <espalier/autograd/tests/oracle.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

constexpr double kShifts[] = {0.065, 1.34};

/// The network of the script.
std::unique_ptr<nn::Sequential> oracle_net() {
  const auto conv = [](int64_t in, int64_t kernel) {
    return nn::Conv2d({.in_channels = in,
                       .out_channels = 4,
                       .kernel = kernel,
                       .padding = kernel / 2,
                       .bias = false});
  };
  auto net = std::make_unique<nn::Sequential>();
  net->add(conv(3, 3));
  net->add(nn::BatchNorm2d({.channels = 4}));
  net->add(nn::ReLU());
  for (int block = 0; block < 3; ++block) {
    auto main = std::make_shared<nn::Sequential>();
    main->add(conv(4, 1));
    main->add(nn::BatchNorm2d({.channels = 4}));
    main->add(nn::ReLU());
    main->add(conv(4, 1));
    main->add(nn::BatchNorm2d({.channels = 4}));
    net->add(nn::Residual({.main = main}));
  }
  net->add(nn::AdaptiveAvgPool2d(1));
  net->add(nn::Flatten());
  net->add(nn::Linear({.in = 4, .out = 3}));
  return net;
}

/// Parameters in the script's order: stem, blocks, heads, classifier.
std::vector<nn::Parameter*> parameters_of(nn::Module& net) {
  std::vector<nn::Parameter*> blocks, heads, last;
  for (const nn::NamedParameter& one : net.named_parameters()) {
    const bool head = one.name.find(".gate.") != std::string::npos;
    (head ? heads : one.name.starts_with("8.") ? last : blocks).push_back(one.parameter);
  }
  blocks.insert(blocks.end(), heads.begin(), heads.end());
  blocks.insert(blocks.end(), last.begin(), last.end());
  return blocks;
}

void fill(nn::Module& net, double sharp) {
  int64_t place = 0;
  for (nn::Parameter* one : parameters_of(net)) {
    one->value.value().copy_(made(one->shape(), ++place));
  }
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
  auto net = oracle_net();
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
  std::vector<double> gradients;
  for (nn::Parameter* one : parameters_of(*net)) {
    const std::vector<double> values = one->value.grad().value().to_vector<double>();
    gradients.insert(gradients.end(), values.begin(), values.end());
  }
  const auto size = static_cast<int64_t>(gradients.size());
  oracle.expect(name + ".gradients", Tensor::from<double>({size}, gradients));
}

TEST(SkipNetOracle, ATrainingStepIsPyTorchs) {
  Oracle oracle(ESPALIER_ORACLES, "skipnet");
  check_step(oracle, "supervised", 1.0, {});
  check_step(oracle, "rewards", 150.0, {{"rewards-from", "0"}, {"reward-weight", "0.7"}});
  oracle.expect_all_used();
}

}  // namespace
}  // namespace espalier::prune
