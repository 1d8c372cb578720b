// SPDX-License-Identifier: Apache-2.0
// Chapter 7 of the course (docs/07_shrink.md): prune whole channels, then make the network
// physically smaller without changing a number that it computes.
#include <espalier/data/loader.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/fit.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/drive/registry.h>
#include <espalier/prune/structure/shrink.h>
#include "facts.h"

using namespace espalier;

namespace {

Tensor logits(nn::Module& model, const Tensor& images) {
  const nn::EvalScope eval(model);
  const NoGrad no_grad;
  return model(Variable(images)).value();
}

}  // namespace

int main() {
  course::Facts facts;
  const auto train = data::subset(data::open_dataset("synth", data::Split::Train, ""), 1000, 1);
  data::Loader train_batches(train, {.batch_size = 50, .shuffle = true, .seed = 1});
  const nn::ModelOptions options{.width = 0.5};
  const auto model = nn::make_model("resnet20", options);
  nn::Sgd optimizer(*model, {.momentum = 0.9, .nesterov = true}, 5e-4);
  nn::fit(*model, optimizer, nn::OneCycleLr({.peak = 0.1}), train_batches, {}, {.epochs = 2});

  std::puts("1. Mask half of the channels that may go");
  const auto pruner = prune::make_pruner("l1-filters", {.sparsity = prune::Sparsity(0.5)});
  nn::fit(*model, optimizer, nn::CosineLr(0.02), train_batches, {pruner.get()}, {.epochs = 1});
  const nn::ModelCount masked = nn::count_model(*model, Shape{3, 32, 32});
  facts.check(model->parameter("layer1.0.conv1.weight").shape() == Shape{8, 8, 3, 3},
              "a masked layer has its old shape, 8 filters");

  std::puts("2. Shrink");
  train_batches.start_epoch(0);
  const Tensor images = train_batches.next()->images;
  const Tensor before = logits(*model, images);
  const prune::ResizeReport report =
      prune::shrink(*model, nn::example_input("resnet20", options), &optimizer);
  const Tensor after = logits(*model, images);
  const nn::ModelCount shrunk = nn::count_model(*model, Shape{3, 32, 32});

  std::printf("  channels   %6ld -> %ld\n  parameters %6ld -> %ld\n  MACs       %ld -> %ld\n",
              static_cast<long>(report.channels_before),
              static_cast<long>(report.channels),
              static_cast<long>(report.params_before),
              static_cast<long>(report.params),
              static_cast<long>(masked.total.macs_dense),
              static_cast<long>(shrunk.total.macs_dense));
  facts.check(model->parameter("layer1.0.conv1.weight").shape() == Shape{4, 8, 3, 3},
              "4 of the 8 filters are left");
  facts.check(model->parameter("layer1.0.conv2.weight").shape() == Shape{8, 4, 3, 3},
              "the next layer lost the inputs that they made, and kept its 8 outputs");
  facts.check(model->parameter("layer1.0.bn1.weight").shape() == Shape{4},
              "the batch norm between them is narrower too");
  facts.check(course::largest_difference(before, after) < 1e-4, "the logits are the same");
  facts.check(report.params < report.params_before, "there are fewer parameters");
  facts.check(shrunk.total.macs_dense == masked.total.macs_effective,
              "the small network's MACs are those that the masks promised");
  facts.check(!model->parameter("layer1.0.conv1.weight").masked(),
              "no mask is needed any more: what is there is all used");

  std::puts("3. It is an ordinary network: train on");
  const double loss = nn::evaluate(*model, train_batches).loss;
  nn::fit(*model, optimizer, nn::CosineLr(0.02), train_batches, {}, {.epochs = 5});
  const double later = nn::evaluate(*model, train_batches).loss;
  std::printf("  loss on the training images %.3f, five epochs later %.3f\n", loss, later);
  facts.check(later < loss, "the loss goes on falling");
  return facts.exit_code();
}
