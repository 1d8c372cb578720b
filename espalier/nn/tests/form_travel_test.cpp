// SPDX-License-Identifier: Apache-2.0
// How forms travel with networks: saved, cloned, killed and resumed, restored from a description.

#include <espalier/autograd/ops.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/forms/hard_concrete.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/forms/supermask.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/tests/forms_support.h>
#include <espalier/nn/tests/support.h>
#include <espalier/nn/train/sgd.h>

namespace espalier::nn {
namespace {

using espalier::testing::TemporaryFolder;

/// A small residual network with a form of every kind.
std::unique_ptr<Module> formed_model(const ModelOptions& options) {
  auto model = make_model("resnet20", options);
  size_t next = 0;
  for (const FormSite& site : form_sites(*model)) {
    const Shape& shape = site.slot.parameter->shape();
    if (shape[1] % 2 != 0) continue;
    const auto forms = forms_for(shape);
    site.set(forms[next++ % forms.size()]);
  }
  // Two that read the same channels share their gates.
  for (const char* name : {"layer1.0.conv1.weight", "layer1.1.conv1.weight"}) {
    const FormSite site = form_site(*model, name);
    *site.slot.form = nullptr;
    site.set(std::make_shared<HardConcrete>(
        site.slot.parameter->shape(), HardConcrete::Options{.grain = HardConcrete::Grain::Inputs}));
  }
  form_site(*model, "layer1.1.conv1.weight")
      .form()
      ->share(*form_site(*model, "layer1.0.conv1.weight").form());
  return model;
}

TEST(Forms, SavedAndClonedNetworksComputeAlike) {
  const ModelOptions options{.width = 0.25};
  const auto model = formed_model(options);
  const TemporaryFolder folder;
  save_model(folder / "net", "resnet20", options, *model);
  const SavedModel loaded = load_model(folder / "net");
  EXPECT_EQ(describe_forms(*loaded.module), describe_forms(*model));
  const Variable x(random_tensor({2, 3, 32, 32}, 1));
  const auto run = [&](Module& one) {
    const EvalScope eval(one);
    const NoGrad no_grad;
    return values(one(x).value());
  };
  const std::vector<double> expected = run(*model);
  EXPECT_EQ(run(*loaded.module), expected);
  const auto copy = model->clone();
  EXPECT_EQ(snapshot(copy->state_dict()), snapshot(model->state_dict()));
  for (const FormSite& site : form_sites(*model)) {
    if (!site.form()) continue;
    for (const NamedParameter& p : site.form()->named_parameters()) {
      p.parameter->value.value().fill_(0.25);
    }
  }
  EXPECT_EQ(run(*copy), expected);
  EXPECT_NE(run(*model), expected);
  EXPECT_NE(message_of<NotImplemented>([&] { compile(*copy, x); }).find("fold_forms"),
            std::string::npos);
  fold_forms(*copy);
  EXPECT_EQ(run(*copy), expected);
  const std::vector<double> planned = values(compile(*copy, x).run(x.value()));
  for (size_t i = 0; i < planned.size(); ++i) EXPECT_NEAR(planned[i], expected[i], 1e-4);
}

/// Some steps of training from `first` on.
void train(Module& model, Sgd& sgd, int64_t first, int64_t last) {
  model.train();
  for (int64_t step = first; step < last; ++step) {
    model.zero_grad();
    const Variable x(random_tensor({4, 3, 32, 32}, static_cast<uint64_t>(step + 1)));
    cross_entropy(model(x), Tensor::from<int64_t>({4}, {0, 1, 2, 3})).backward();
    sgd.step();
  }
}

TEST(Forms, AKilledTrainingThatGoesOnHasTheSameBits) {
  const ModelOptions options{.width = 0.25};
  const auto make_sgd = [](Module& model) {
    return Sgd(model, {.lr = 0.05, .momentum = 0.9}, /*weight_decay=*/1e-4);
  };
  const auto whole = formed_model(options);
  Sgd sgd = make_sgd(*whole);
  train(*whole, sgd, 0, 3);
  const auto state = deep_copy(whole->state_dict()), rng = deep_copy(whole->rng_state()),
             moments = deep_copy(sgd.state_dict());
  const std::string forms = describe_forms(*whole);
  train(*whole, sgd, 3, 6);
  const auto second = make_model("resnet20", options);
  restore_forms(*second, forms);
  Sgd other = make_sgd(*second);
  second->load_state_dict(state);
  second->load_rng_state(rng);
  other.load_state_dict(moments);
  train(*second, other, 3, 6);
  EXPECT_EQ(snapshot(second->state_dict()), snapshot(whole->state_dict()));
  EXPECT_EQ(snapshot(other.state_dict()), snapshot(sgd.state_dict()));
}

TEST(Forms, AProgramsOwnKindsAreRestoredToo) {
  register_part_kind(
      {.name = "wider-backward", .make = [](const PartPlace&, const PartDescription& description) {
         return std::make_shared<WiderBackward>(description.whole("forward", 0, 100),
                                                description.whole("backward", 0, 100));
       }});
  EXPECT_THROW(register_part_kind({.name = "supermask", .make = {}}), ValueError);
  auto net = tiny_net();
  form_site(*net, "fc.weight").set(std::make_shared<WiderBackward>(3, 7));
  const std::string text = describe_forms(*net);
  auto other = tiny_net();
  restore_forms(*other, text);
  EXPECT_EQ(describe_forms(*other), text);
  EXPECT_THROW(restore_forms(*other, text), ValueError);  // it has one
}

TEST(Forms, LayersWithFormsOfTheirSizeKeepIt) {
  Conv2d conv({.in_channels = 4, .out_channels = 4});
  conv.form = std::make_shared<Supermask>(conv.weight.shape(), 3);
  EXPECT_NE(message_of<NotImplemented>([&] {
              conv.set_sizes({{"out_channels", 2}});
            }).find("Supermask(3 of 144)"),
            std::string::npos);
}

TEST(Forms, BadDescriptionsAreErrors) {
  for (const char* text :
       {R"({"conv":{"kind":"supermask","settings":{}}})",
        R"({"conv":{"kind":"supermask","settings":{"kept":46}}})",
        R"({"conv":{"kind":"supermask","settings":{"kept":1.5}}})",
        R"({"conv":{"kind":"supermask","settings":{"kept":[1]}}})",
        R"({"conv":{"kind":"straight-through","settings":{"keep":2,"of":4,"group":1,"decay":0}}})",
        R"({"conv":{"kind":"hard-concrete","settings":{"grain":7,"drop-rate":0.5,"number":0}}})",
        R"({"conv":{"kind":"hard-concrete","settings":{"grain":0,"drop-rate":0,"number":0}}})",
        R"({"fc":{"kind":"hard-concrete","settings":{"grain":0,"drop-rate":0.5,"number":0},
            "shares":"conv"}})",
        R"({"conv":{"kind":"blocks","settings":{}}})",
        R"({"conv":{"kind":"top-kast","settings":{"forward":3,"backward":2}}})",
        R"({"conv":{"kind":"top-kast","settings":{"forward":3}}})",
        R"({"conv":{"kind":"clip-q","settings":{"kept":3,"bits":1}}})",
        R"({"conv":{"kind":"clip-q","settings":{"kept":46,"bits":4}}})",
        R"({"conv":{"kind":"low-rank","settings":{"split":0,"rank":1,"inner":1}}})",
        R"({"conv":{"kind":"low-rank","settings":{"split":1,"rank":40,"inner":1}}})",
        R"({"conv":{"kind":"low-rank","settings":{"split":4,"rank":1,"inner":1}}})",
        R"({"fc":{"kind":"projection","settings":{"width":5000}}})",
        R"({"conv":{"kind":"projection","settings":{"width":5}}})",
        R"({"bn":{"kind":"supermask","settings":{"kept":1}}})",
        R"({"conv":{"kind":"supermask"}})"}) {
    auto net = tiny_net();
    EXPECT_THROW(restore_forms(*net, text), Error) << text;
  }
}

}  // namespace
}  // namespace espalier::nn
