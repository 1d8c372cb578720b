// SPDX-License-Identifier: Apache-2.0
// Chapter 4 of the course (docs/04_training.md): fit(), hooks, and the same bits on any number of
// threads.
#include <espalier/core/parallel.h>
#include <espalier/data/loader.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/module/init.h>
#include <espalier/nn/train/hooks.h>
#include <espalier/nn/train/sgd.h>
#include "facts.h"

using namespace espalier;

namespace {

nn::Sequential make_network() {
  const auto halve = [](int64_t in, int64_t out) {
    return nn::Conv2d({.in_channels = in,
                       .out_channels = out,
                       .kernel = 3,
                       .stride = 2,
                       .padding = 1,
                       .bias = false});
  };
  nn::Sequential net(halve(3, 16),
                     nn::BatchNorm2d({.channels = 16, .relu = true}),
                     halve(16, 32),
                     nn::BatchNorm2d({.channels = 32, .relu = true}),
                     halve(32, 64),
                     nn::BatchNorm2d({.channels = 64, .relu = true}),
                     nn::AdaptiveAvgPool2d(),
                     nn::Flatten(),
                     nn::Linear({.in = 64, .out = 10}));
  nn::init_parameters(net, /*seed=*/1);
  return net;
}

/// A hook: it remembers the mean training loss of every epoch.
class LossLog : public nn::TrainHook {
 public:
  void end_of_epoch(nn::TrainState& state) override {
    std::printf("  epoch %ld: loss %.3f, %.1f %% right\n",
                static_cast<long>(state.epoch),
                state.loss,
                100.0 * state.accuracy);
    losses.push_back(state.loss);
  }
  std::vector<double> losses;
};

void learn(course::Facts& facts) {
  std::puts("Training on 2000 drawn digits");
  const auto train = data::subset(data::open_dataset("synth", data::Split::Train, ""), 2000, 1);
  const auto test = data::subset(data::open_dataset("synth", data::Split::Test, ""), 500, 1);
  data::Loader train_batches(train, {.batch_size = 50, .shuffle = true, .seed = 1});
  data::Loader test_batches(test, {.batch_size = 100});

  nn::Sequential net = make_network();
  nn::Sgd optimizer(net, {.momentum = 0.9, .nesterov = true}, /*weight_decay=*/5e-4);
  LossLog log;
  const nn::FitResult end =
      nn::fit(net, optimizer, nn::OneCycleLr({.peak = 0.1}), train_batches, {&log}, {.epochs = 6});

  const nn::Evaluation result = nn::evaluate(net, test_batches);
  std::printf("  %ld of %ld test images right\n",
              static_cast<long>(result.correct),
              static_cast<long>(result.total));
  facts.check(end.step == 6 * 2000 / 50, "6 epochs of 40 batches are 240 steps");
  facts.check(end.loss == log.losses.back() && !end.stopped(), "fit tells the last epoch's loss");
  facts.check(log.losses.size() == 6 && log.losses.back() < log.losses.front(),
              "the hook saw six epochs, and the loss fell");
  facts.check(log.losses.front() < 1.5 * std::log(10.0), "it began near log 10, that of guessing");
  facts.check(result.accuracy() > 0.3, "over 30 % of the test images, where guessing has 10 %");
}

void stop_early(course::Facts& facts) {
  std::puts("Ending when nothing becomes better");
  const auto train = data::subset(data::open_dataset("synth", data::Split::Train, ""), 200, 1);
  const auto test = data::subset(data::open_dataset("synth", data::Split::Test, ""), 200, 1);
  data::Loader train_batches(train, {.batch_size = 50, .shuffle = true, .seed = 1});
  data::Loader test_batches(test, {.batch_size = 100});
  nn::Sequential net = make_network();
  nn::Sgd optimizer(net, {.momentum = 0.9});

  nn::Validation validation(test_batches);
  nn::EarlyStopping stopping(validation.accuracy(), {.patience = 2, .restore_best = true});
  const nn::FitResult end = nn::fit(net,
                                    optimizer,
                                    nn::ConstantLr(0.05),
                                    train_batches,
                                    {&validation, &stopping},
                                    {.epochs = 30});
  std::printf("  after %ld epochs: %s\n", static_cast<long>(end.epoch), end.stopped_by.c_str());
  facts.check(end.stopped() && end.epoch < 30, "it ended before its 30 epochs");
  facts.check(nn::evaluate(net, test_batches).accuracy() == stopping.best(),
              "the network is that of the best epoch");
}

/// The parameters and running statistics after one epoch on `threads` threads.
std::map<std::string, Tensor> state_after_an_epoch(int threads) {
  set_num_threads(threads);
  const auto train = data::subset(data::open_dataset("synth", data::Split::Train, ""), 200, 1);
  data::Loader batches(train, {.batch_size = 50, .shuffle = true, .seed = 1});
  nn::Sequential net = make_network();
  nn::Sgd optimizer(net, {.lr = 0.05, .momentum = 0.9});
  nn::fit(net, optimizer, nn::ConstantLr(0.05), batches, {}, {.epochs = 1});
  set_num_threads(0);
  return net.state_dict();
}

void same_bits(course::Facts& facts) {
  std::puts("Same seed, same bits");
  const auto one = state_after_an_epoch(1);
  const auto three = state_after_an_epoch(3);
  bool equal = one.size() == three.size();
  for (const auto& [name, tensor] : one) {
    equal = equal && tensor.to_vector<float>() == three.at(name).to_vector<float>();
  }
  facts.check(equal, "every weight has the same bits after training on 1 and on 3 threads");
}

}  // namespace

int main() {
  course::Facts facts;
  learn(facts);
  stop_early(facts);
  same_bits(facts);
  return facts.exit_code();
}
