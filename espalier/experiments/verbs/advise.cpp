// SPDX-License-Identifier: Apache-2.0
/// `espalier advise`: which method for which hardware, target, training, labels and network.
#include <memory>
#include <ostream>

#include <nlohmann/json.hpp>

#include <espalier/experiments/advise/ranking.h>
#include <espalier/experiments/advise/told.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

struct AdviseFlags {
  GivenOptions given;
  int64_t most = 3;
  bool json = false;
};

void advise(const AdviseFlags& flags, Console& console) {
  const advise::Question question =
      advise::asked(advise::answers_table().read("advise", flags.given.given()));
  const advise::Advice advice = advise::advice(question);
  console.out << (flags.json
                      ? advise::advice_json(question, advice).dump(2) + "\n"
                      : advise::advice_text(question, advice, static_cast<size_t>(flags.most)));
}

}  // namespace

void add_advise(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "advise",
      "Which pruning method for which hardware, target and training, why, and what to type.");
  const auto flags = std::make_shared<AdviseFlags>();
  flags->given.declare(
      verb, advise::answers_table().options(), "Answers, all of which may stay open");
  verb.add_option("--most", flags->most, "methods that are told in full")
      .between(1, 1000)
      .show_default();
  verb.add_flag("--json", flags->json, "print all methods as JSON");
  verb.footer([] {
    return std::string(
        "\nA network for an engine without sparse kernels, half of the work, some fine-tuning:\n"
        "  espalier advise --runtime dense --target macs=0.5 --training some --trained yes\n");
  });
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { advise(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
