// SPDX-License-Identifier: Apache-2.0
/// `espalier compare`: what differs between two runs.
#include <memory>
#include <ostream>

#include <nlohmann/json.hpp>

#include <espalier/experiments/compare/compare.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

struct CompareFlags {
  std::string first;
  std::string second;
  bool json = false;
};

}  // namespace

void add_compare(const Verb& app, Console& console, Action& action) {
  const Verb verb =
      app.add_verb("compare", "What differs between two runs: settings, results, layers.");
  const auto flags = std::make_shared<CompareFlags>();
  verb.add_option("first", flags->first, "a run folder").option_text("RUN").required();
  verb.add_option("second", flags->second, "another one").option_text("RUN").required();
  verb.add_flag("--json", flags->json, "print as JSON");
  verb.callback([&action, &console, flags] {
    action = [&console, flags] {
      const nlohmann::ordered_json compared = compare_runs(flags->first, flags->second);
      console.out << (flags->json ? compared.dump(2) + "\n" : compare_text(compared));
    };
  });
}

}  // namespace espalier::experiments::verbs
