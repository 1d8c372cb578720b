// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <espalier/core/detail/nearest_name.h>
#include <espalier/prune/mask_update.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune {
namespace {

/// The method's pattern for what the user asked. Throws ValueError for one it can't produce.
std::shared_ptr<const Pattern> chosen_pattern(const Method& method, const std::string& asked) {
  if (asked.empty()) return make_pattern(method.patterns.front());
  auto pattern = make_pattern(asked);
  const auto& known = method.patterns;
  // Any N:M and any BxC does where one of its kind does.
  const bool listed = std::any_of(known.begin(), known.end(), [&](const std::string& one) {
    if (one == asked) return true;
    return pattern->speedup() == Speedup::SemiStructured &&
           ((one == "2:4" && pattern->cell().size > 0) ||
            (one == "4x1" && asked.find('x') != std::string::npos));
  });
  std::string names;
  for (const std::string& one : known) names += (names.empty() ? "" : ", ") + one;
  ESPALIER_CHECK(listed,
                 ValueError,
                 "prune ",
                 method.name,
                 ": can't produce the pattern ",
                 asked,
                 ". It has: ",
                 names);
  return pattern;
}

Ablation parse_ablation(const std::string& text) {
  if (text == "shuffle") return Ablation::Shuffle;
  if (text == "invert") return Ablation::Invert;
  if (text == "reinit") return Ablation::Reinit;
  return Ablation::None;
}

}  // namespace

std::string name(Speedup speedup) {
  switch (speedup) {
    case Speedup::Unstructured:
      return "unstructured";
    case Speedup::SemiStructured:
      return "semi-structured";
    case Speedup::Structured:
      return "structured";
  }
  throw ValueError("name: unknown kind of speed-up");
}

std::string name(When when) {
  switch (when) {
    case When::Before:
      return "before";
    case When::During:
      return "during";
    case When::After:
      return "after";
    case When::Runtime:
      return "runtime";
  }
  throw ValueError("name: unknown moment of pruning");
}

std::string name(How how) {
  switch (how) {
    case How::Criterion:
      return "criterion";
    case How::Learning:
      return "learning";
    case How::Fusion:
      return "fusion";
  }
  throw ValueError("name: unknown way of pruning");
}

const std::vector<Method>& methods() {
  static const std::vector<Method> list = {
#define ESPALIER_METHOD(name) method_list::name(),
#include <espalier/prune/methods.inc>
#undef ESPALIER_METHOD
  };
  return list;
}

const Method& method(const std::string& name) {
  std::vector<std::string> names;
  std::string known;
  for (const Method& one : methods()) {
    if (one.name == name) return one;
    names.push_back(one.name);
    known += (known.empty() ? "" : ", ") + one.name;
  }
  const auto nearest = espalier::detail::nearest_name(name, names);
  throw ValueError(cat("prune: unknown method '",
                       name,
                       "'.",
                       nearest ? cat(" Did you mean ", names[*nearest], "?") : "",
                       " Known: ",
                       known));
}

const std::vector<Option>& common_options() {
  static const std::vector<Option> options = {
      real_option("sparsity",
                  0.9,
                  0.0,
                  1.0,
                  "fraction removed",
                  "final sparsity over the prunable weights; N:M patterns imply theirs"),
      text_option("pattern", "", "which weights fall together; empty: the method's default"),
      text_option(
          "exclude", "", "parameter names or prefixes that stay dense, separated by commas"),
      integer_option("min-per-layer", 0, 0, 1'000'000'000, "units", "kept in every layer at least"),
      flag_option("allow-collapse",
                  "train on when no path of weights leads from the input to an output"),
      choice_option("ablation",
                    {"none", "shuffle", "invert", "reinit"},
                    "sanity check: shuffle masks within layers, invert scores, or start again from "
                    "fresh weights"),
  };
  return options;
}

PruneSettings parse_settings(const Method& method,
                             const std::map<std::string, std::string>& given) {
  std::map<std::string, std::string> own;
  std::map<std::string, std::string> common;
  for (const auto& [name, text] : given) {
    const bool shared = std::any_of(
        common_options().begin(), common_options().end(), [&name = name](const Option& option) {
          return option.name == name;
        });
    (shared ? common : own)[name] = text;
  }
  const std::string owner = "prune " + method.name;
  const OptionValues values(owner, common_options(), common);
  const OptionValues checked(owner, method.options, own);
  PruneSettings settings;
  settings.pattern = values.text("pattern");
  settings.sparsity = Sparsity(values.real("sparsity"));
  const auto pattern = chosen_pattern(method, settings.pattern);
  const Cell cell = pattern->cell();
  ESPALIER_CHECK(cell.size == 0 || !own.contains("allocation"),
                 ValueError,
                 owner,
                 ": option allocation divides a sparsity among layers, but pattern ",
                 pattern->name(),
                 " keeps ",
                 cell.keep,
                 " of ",
                 cell.size,
                 " weights in every one");
  if (cell.size > 0 && !common.contains("sparsity")) {
    settings.sparsity =
        Density(static_cast<double>(cell.keep) / static_cast<double>(cell.size)).sparsity();
  }
  settings.exclude = split_names(values.text("exclude"));
  settings.min_per_layer = values.integer("min-per-layer");
  settings.allow_collapse = values.flag("allow-collapse");
  settings.ablation = parse_ablation(values.text("ablation"));
  settings.options = own;
  return settings;
}

std::unique_ptr<Pruner> make_pruner(const std::string& name,
                                    const PruneSettings& settings,
                                    const PruneInputs& inputs) {
  const Method& chosen = method(name);
  const OptionValues options("prune " + name, chosen.options, settings.options);
  auto pattern = chosen_pattern(chosen, settings.pattern);
  if (chosen.make) return chosen.make(options, settings, inputs);
  return std::make_unique<MaskPruner>(chosen.recipe(options), std::move(pattern), settings, inputs);
}

std::vector<std::string> prepare_network(const std::string& name,
                                         const PruneSettings& settings,
                                         const PruneInputs& inputs,
                                         nn::Module& model) {
  const Method& chosen = method(name);
  if (!chosen.prepare) return {};
  const OptionValues options("prune " + name, chosen.options, settings.options);
  chosen_pattern(chosen, settings.pattern);
  return chosen.prepare(options, settings, inputs, model);
}

std::map<std::string, Tensor> raw_scores(const std::string& name,
                                         nn::Module& model,
                                         const PruneSettings& settings,
                                         const PruneInputs& inputs) {
  const Method& chosen = method(name);
  ESPALIER_CHECK(
      chosen.recipe || chosen.score, NotImplemented, "score: the method ", name, " has no score");
  const OptionValues options("prune " + name, chosen.options, settings.options);
  const auto pattern = chosen_pattern(chosen, settings.pattern);
  const std::unique_ptr<Score> own =
      chosen.recipe ? std::move(chosen.recipe(options).score) : chosen.score(options);
  const NoGrad no_grad;
  const std::vector<ScoredWeight> weights = prunable_weights(model, settings.exclude);
  Rng rng = Rng(inputs.seed, "prune").fork(0);
  std::vector<Site> sites;  // of the weights that can have the pattern
  for (const ScoredWeight& weight : weights) {
    const Shape& shape = weight.parameter->shape();
    if (!pattern->refusal(shape).empty()) continue;
    const Units units = pattern->units(shape);
    sites.push_back({weight.name,
                     shape,
                     units.count,
                     pattern->cell(),
                     {{weight.name, weight.parameter, units, true}}});
  }
  const std::span<const Site> summed(sites);
  const std::vector<Tensor> scores = own->compute({model, weights, inputs, rng, nullptr, &summed});
  std::map<std::string, Tensor> result;
  size_t next = 0;
  for (size_t w = 0; w < weights.size(); ++w) {
    Tensor score = scores[w].clone();
    if (next < sites.size() && sites[next].name == weights[w].name) {
      const Site& site = sites[next++];
      const std::vector<double> of_units = unit_scores(site, {&scores[w], 1}, own->reduce());
      for (int64_t i = 0; i < score.numel(); ++i) {
        score.data<double>()[i] = of_units[static_cast<size_t>(site.parts.front().units.unit(i))];
      }
    }
    result[weights[w].name] = score;
  }
  return result;
}

}  // namespace espalier::prune
