// SPDX-License-Identifier: Apache-2.0
/// `espalier methods`: the taxonomy as a table, or one method explained.
#include <memory>
#include <ostream>

#include <fmt/format.h>

#include <espalier/experiments/figures.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/verbs/verbs.h>
#include <espalier/prune/drive/registry.h>
#include <espalier/prune/drive/taxonomy_page.h>
#include <espalier/prune/patterns/pattern.h>

namespace espalier::experiments::verbs {
namespace {

using prune::Method;

/// Which methods are wanted; texts are names of the taxonomy, or `any`.
struct Wanted {
  std::string when = "any";
  std::string speedup = "any";
  std::string how = "any";
  bool data_free = false;
  bool one_shot = false;
};

const OptionTable<Wanted>& wanted_table() {
  static const OptionTable<Wanted> table = {
      {&Wanted::when, "when", {"any", "before", "during", "after", "runtime"}, "of training"},
      {&Wanted::speedup,
       "speedup",
       {"any", "unstructured", "semi-structured", "structured"},
       "what the method can give, by any of its patterns"},
      {&Wanted::how, "how", {"any", "criterion", "learning", "fusion"}, "how weights are chosen"},
      {&Wanted::data_free, "data-free", "those that look at no data, or need some"},
      {&Wanted::one_shot, "one-shot", "those that choose once, or several times"},
  };
  return table;
}

struct MethodsFlags {
  std::string name;
  GivenOptions wanted;
  bool json = false;
  bool markdown = false;
};

bool gives(const Method& method, const std::string& speedup) {
  for (const std::string& pattern : method.patterns) {
    if (prune::name(prune::make_pattern(pattern)->speedup()) == speedup) return true;
  }
  return false;
}

/// `given`: the options that were typed, of which `--no-data-free` asks for the others.
std::vector<const Method*> chosen(const Wanted& wanted, const OptionTexts& given) {
  const auto agrees = [&](const char* option, bool asked, bool fact) {
    return !given.contains(option) || asked == fact;
  };
  std::vector<const Method*> out;
  for (const Method& method : prune::methods()) {
    const prune::MethodFacts facts = method.facts();
    const bool fits = (wanted.when == "any" || wanted.when == prune::name(method.when)) &&
                      (wanted.how == "any" || wanted.how == prune::name(method.how)) &&
                      (wanted.speedup == "any" || gives(method, wanted.speedup)) &&
                      agrees("data-free", wanted.data_free, facts.data_free) &&
                      agrees("one-shot", wanted.one_shot, facts.one_shot);
    if (fits) out.push_back(&method);
  }
  return out;
}

/// One table for each moment of the taxonomy.
std::string taxonomy_tables(const std::vector<const Method*>& which) {
  std::string out;
  for (const prune::When when : prune::kMoments) {
    std::vector<std::vector<std::string>> rows = {
        {"name", "title", "speed-up", "how", "scope", "data", "updates", "year"}};
    for (const Method* method : which) {
      if (method->when != when) continue;
      const prune::MethodFacts facts = method->facts();
      rows.push_back({method->name,
                      method->title,
                      prune::name(method->speedup()),
                      prune::name(method->how),
                      facts.global ? "global" : "local",
                      facts.data_free ? "free" : "needed",
                      facts.one_shot ? "one" : "several",
                      std::to_string(method->year)});
    }
    if (rows.size() == 1) continue;
    out += fmt::format("{}{} ({})\n{}",
                       out.empty() ? "" : "\n",
                       prune::title(when),
                       rows.size() - 1,
                       text_table(rows));
  }
  return out.empty() ? "no method is all of that; leave one of the filters out\n" : out;
}

void methods(const MethodsFlags& flags, Console& console) {
  const Wanted wanted = wanted_table().read("methods", flags.wanted.given());
  if (flags.markdown) {
    console.out << prune::methods_markdown();
    return;
  }
  if (flags.name.empty()) {
    const std::vector<const Method*> which = chosen(wanted, flags.wanted.given());
    console.out << (flags.json ? prune::methods_json(which) : taxonomy_tables(which));
  } else {
    ESPALIER_CHECK(flags.wanted.given().empty(),
                   ValueError,
                   "methods: --",
                   flags.wanted.given().begin()->first,
                   " chooses among all methods; leave it or the name ",
                   flags.name,
                   " out");
    const Method& method = prune::method(flags.name);
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
  flags->wanted.declare(verb, wanted_table().options(), "Which");
  verb.add_flag("--markdown", flags->markdown, "print the page docs/taxonomy.md")
      .excludes(json)
      .excludes(name);
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { methods(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
