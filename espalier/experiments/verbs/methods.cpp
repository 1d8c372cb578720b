// SPDX-License-Identifier: Apache-2.0
/// `espalier methods`: the taxonomy as a table, or one method explained.
#include <memory>
#include <ostream>

#include <nlohmann/json.hpp>

#include <espalier/experiments/figures.h>
#include <espalier/experiments/verbs/verbs.h>
#include <espalier/prune/drive/registry.h>
#include <espalier/prune/drive/taxonomy_page.h>

namespace espalier::experiments::verbs {
namespace {

struct MethodsFlags {
  std::string name;
  bool json = false;
  bool markdown = false;
};

std::string taxonomy_table() {
  std::vector<std::vector<std::string>> rows = {
      {"name", "title", "speed-up", "when", "how", "scope", "data", "year"}};
  for (const prune::Method& method : prune::methods()) {
    const prune::MethodFacts facts = method.facts();
    rows.push_back({method.name,
                    method.title,
                    prune::name(method.speedup()),
                    prune::name(method.when),
                    prune::name(method.how),
                    facts.global ? "global" : "local",
                    facts.data_free ? "free" : "needed",
                    std::to_string(method.year)});
  }
  return text_table(rows);
}

void methods(const MethodsFlags& flags, Console& console) {
  if (flags.markdown) {
    console.out << prune::methods_markdown();
    return;
  }
  if (flags.name.empty()) {
    console.out << (flags.json ? prune::methods_json() : taxonomy_table());
  } else {
    const prune::Method& method = prune::method(flags.name);
    console.out << (flags.json ? prune::method_json(method) : prune::explain(method));
  }
  console.out << '\n';
}

}  // namespace

void add_methods(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "methods",
      "The pruning methods as a table, or one explained: idea, formula, schedule, paper.");
  const auto flags = std::make_shared<MethodsFlags>();
  const Flag name = verb.add_option("name", flags->name, "explain this one");
  const Flag json = verb.add_flag("--json", flags->json, "print as JSON");
  verb.add_flag("--markdown", flags->markdown, "print the page docs/taxonomy.md")
      .excludes(json)
      .excludes(name);
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { methods(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
