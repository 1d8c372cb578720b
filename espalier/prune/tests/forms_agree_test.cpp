// SPDX-License-Identifier: Apache-2.0
// Forms of nn and what methods do by other means: the same to the last bit.
#include <gtest/gtest.h>

#include <espalier/core/random.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/forms/straight_through.h>
#include <espalier/nn/train/fit.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/patterns/pattern.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::tiny_conv_net;
using testing::tiny_loader;

constexpr int64_t kEpochs = 3;

nn::TrainProgress train(nn::Module& net, const std::vector<nn::TrainHook*>& hooks) {
  nn::Sgd sgd(net, {.lr = 0.1, .momentum = 0.9}, /*weight_decay=*/5e-3);
  auto loader = tiny_loader();
  return nn::fit(net, sgd, nn::ConstantLr(0.1), *loader, hooks, {.epochs = kEpochs});
}

TEST(Forms, StraightThroughTrainsAsTheMethodDoes) {
  const auto by_method = tiny_conv_net();
  const auto by_form = tiny_conv_net();
  const auto hook = make_pruner("sr-ste", parse_settings(method("sr-ste"), {}));
  train(*by_method, {hook.get()});
  int64_t forms = 0;
  for (const nn::FormSite& site : nn::form_sites(*by_form)) {
    const Shape& shape = site.slot.parameter->shape();
    if (shape[1] % 4 != 0) continue;
    site.set(std::make_shared<nn::StraightThrough>(shape, nn::StraightThrough::Options{}));
    ++forms;
  }
  train(*by_form, {});
  const auto state = hook->state();
  int64_t compared = 0;
  for (const auto& [name, tensor] : state) {
    if (!name.starts_with("event.0.dense.")) continue;
    const nn::FormSite site =
        nn::form_site(*by_form, name.substr(std::string("event.0.dense.").size()));
    EXPECT_EQ(site.slot.parameter->value.value().to_vector<float>(), tensor.to_vector<float>())
        << name;
    auto& form = dynamic_cast<nn::StraightThrough&>(*site.form());
    EXPECT_EQ(form.chosen(*site.slot.parameter)->mask().to_vector<uint8_t>(),
              by_method->parameter(site.weight).mask().to_vector<uint8_t>());
    ++compared;
  }
  EXPECT_EQ(compared, forms);
  nn::fold_forms(*by_form);
  for (const nn::NamedParameter& p : by_method->named_parameters()) {
    EXPECT_EQ(by_form->parameter(p.name).value.value().to_vector<float>(),
              p.parameter->value.value().to_vector<float>())
        << p.name;
  }
}

TEST(Forms, ChooseAlongTheInputsAsThePatternDoes) {
  struct Case {
    const char* name;
    nn::NOfM pattern;
  };
  for (const Case& one :
       {Case{"2:4", {2, 4, 1}}, Case{"1:4", {1, 4, 1}}, Case{"4:8g3", {4, 8, 3}}}) {
    Tensor weight = Tensor::empty({7, 16, 3, 2});
    Rng rng(1, one.name);
    fill_normal_(weight, rng);
    for (int64_t i = 0; i < weight.numel(); i += 5) weight.data<float>()[i] = 0.25F;  // ties
    const Units units = make_pattern(one.name)->units(weight.shape());
    std::vector<double> sums(static_cast<size_t>(units.count));
    for (int64_t i = 0; i < weight.numel(); ++i) {
      sums[static_cast<size_t>(units.unit(i))] +=
          std::abs(static_cast<double>(weight.data<float>()[i]));
    }
    const auto kept = top_k_in_cells(sums, {}, one.pattern.keep, one.pattern.of);
    const Tensor mask = nn::n_of_m_mask(weight, one.pattern);
    for (int64_t i = 0; i < weight.numel(); ++i) {
      EXPECT_EQ(mask.data<uint8_t>()[i], kept[static_cast<size_t>(units.unit(i))]) << one.name;
    }
  }
}

}  // namespace
}  // namespace espalier::prune
