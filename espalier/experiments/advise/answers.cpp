// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/advise/answers.h>

#include <algorithm>

#include <espalier/core/error.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/models/registry.h>

namespace espalier::experiments::advise {
namespace {

constexpr double kNarrow =
    0.25;  // a width at which a network that is only looked at is quick to make

NetworkFacts facts_of(const std::string& model) {
  if (model.empty()) return {};
  ESPALIER_CHECK(nn::model_input(model) == nn::InputKind::Images,
                 ValueError,
                 "advise: option model expects a network for images, got '",
                 model,
                 "'");
  nn::ModelOptions options;
  if (nn::model_has_widths(model)) options.width = kNarrow;
  const auto network = nn::make_model(model, options);
  const auto modules = network->named_modules();
  return {.known = true,
          .blocks = !nn::block_sites(*network).empty(),
          .norms = std::ranges::any_of(modules, [](const nn::NamedModule& one) {
            return dynamic_cast<const nn::BatchNorm*>(one.module) != nullptr;
          })};
}

std::optional<prune::Target> target_of(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const std::string size = "size=";
  if (text.find('=') == std::string::npos) return prune::parse_target("sparsity=" + text);
  return prune::parse_target(text.starts_with(size) ? "bytes=" + text.substr(size.size()) : text);
}

}  // namespace

const OptionTable<Answers>& answers_table() {
  using S = Answers;
  static const OptionTable<S> table = {
      {&S::runtime,
       "runtime",
       {"any", "dense", "espalier", "n-m"},
       "what runs the network: a dense engine only, this library's sparse kernels, or hardware for "
       "2:4"},
      {&S::target,
       "target",
       "size=X, macs=X or latency=X: what may be left of the dense network's; sparsity=S or S: "
       "what "
       "is removed"},
      {&S::training,
       "training",
       {"any", "none", "some", "full", "many"},
       "what can be paid for: no training, epochs of fine-tuning, one whole training, several"},
      {&S::labels, "labels", {"any", "all", "few", "none"}, "how many of the samples have one"},
      {&S::may_lose, "may-lose", {0, 100}, "points", "of accuracy at most"},
      {&S::trained, "trained", {"any", "yes", "no"}, "whether a trained network is there"},
      {&S::inputs,
       "inputs",
       {"any", "alike", "differ"},
       "whether every input must cost the same, or easy ones may cost less"},
      {&S::when,
       "when",
       {"any", "before", "during", "after", "runtime"},
       "only methods that choose then, relative to training"},
      {&S::model, "model", "the network, by its name in the model zoo"},
      {&S::data, "data", "the data set of the commands"},
      OptionEntry<S>(&S::weights, "weights", "file of the trained network, for the commands")
          .needing("trained", {"yes"}),
  };
  return table;
}

Question asked(const Answers& answers) {
  const bool fine_tunes = answers.training == Training::None || answers.training == Training::Some;
  ESPALIER_CHECK(!fine_tunes || answers.trained != Trained::No,
                 ValueError,
                 "advise: --training ",
                 answers.training == Training::None ? "none" : "some",
                 " needs a trained network; say --trained yes, or --training full");
  Question question{.answers = answers};
  if (!answers.model.empty()) question.answers.model = nn::canonical_model_name(answers.model);
  question.network = facts_of(question.answers.model);
  question.target = target_of(answers.target);
  return question;
}

}  // namespace espalier::experiments::advise
