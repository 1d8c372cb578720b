// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/drive/registry.h>

#include <algorithm>

#include <espalier/core/detail/nearest_name.h>
#include <espalier/prune/budgets/budget.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

constexpr double kDefaultSparsity = 0.9;

/// References to methods stay valid when more are registered.
std::deque<Method>& list() {
  static std::deque<Method> methods = [] {
    std::vector<Method> built_in = detail::built_in_methods();
    return std::deque<Method>(std::make_move_iterator(built_in.begin()),
                              std::make_move_iterator(built_in.end()));
  }();
  return methods;
}

/// Whether the method can produce a pattern: any N:M and any BxC does where one of its kind does.
bool produces(const Method& method, const Pattern& pattern) {
  const std::string asked = pattern.name();
  return std::ranges::any_of(method.patterns, [&](const std::string& one) {
    if (one == asked) return true;
    return pattern.speedup() == Speedup::SemiStructured &&
           ((one == "2:4" && pattern.cell().size > 0) ||
            (one == "4x1" && asked.find('x') != std::string::npos));
  });
}

/// The method's patterns for what the user asked. Throws ValueError for one it can't produce.
LayerPatterns chosen_patterns(const Method& method, const PruneSettings& settings) {
  const std::string common = settings.pattern.empty() ? method.patterns.front() : settings.pattern;
  LayerPatterns patterns(make_pattern(common), settings.layer_pattern);
  std::string names;
  for (const std::string& one : method.patterns) names += (names.empty() ? "" : ", ") + one;
  const std::vector<const Pattern*> all = patterns.all();
  for (size_t p = 0; p < all.size(); ++p) {
    ESPALIER_CHECK(produces(method, *all[p]),
                   ValueError,
                   "prune ",
                   method.name,
                   ": can't produce the pattern ",
                   all[p]->name(),
                   p == 0 ? "" : " of layer " + patterns.exceptions()[p - 1].layer,
                   ". It has: ",
                   names);
  }
  return patterns;
}

bool is_of_latency(const PruneSettings& settings) {
  return !settings.target.empty() && parse_target(settings.target).kind == BudgetKind::Latency;
}

/// Every layer keeps N of M: what divides a sparsity has nothing to do.
void check_nothing_divided(const std::string& owner,
                           const LayerPatterns& patterns,
                           const PruneSettings& settings) {
  const bool target =
      !settings.target.empty() && parse_target(settings.target).kind != BudgetKind::Sparsity;
  const char* option = settings.options.contains("allocation") ? "allocation"
                       : !settings.layer_sparsity.empty()      ? "layer-sparsity"
                       : target                                ? "target"
                                                               : nullptr;
  const UnitCell cell = patterns.common().cell();
  ESPALIER_CHECK(option == nullptr,
                 ValueError,
                 owner,
                 ": option ",
                 option == nullptr ? "" : option,
                 " has nothing to divide: pattern ",
                 patterns.name(),
                 " keeps ",
                 cell.keep,
                 " of ",
                 cell.size,
                 " weights everywhere");
}

/// What was asked of single layers must be heeded by something.
void check_heeded(const MethodChoice& choice) {
  const PruneSettings& settings = choice.settings;
  const bool floors = settings.min_per_layer > 1;  // one is kept by all
  const bool ceilings = settings.max_layer_sparsity.value() < 1.0;
  const char* of_layers = !settings.layer_sparsity.empty() ? "layer-sparsity"
                          : ceilings                       ? "max-layer-sparsity"
                          : floors                         ? "min-per-layer"
                                                           : nullptr;
  const std::string owner = cat("prune ", choice.method->name, ": option ");
  if (of_layers != nullptr) {
    ESPALIER_CHECK(!choice.pattern.all_cells(),
                   ValueError,
                   owner,
                   of_layers,
                   " has no effect: the pattern ",
                   choice.pattern.name(),
                   " says what every layer keeps");
    const Timeline timeline = choice.timeline();
    ESPALIER_CHECK(
        std::ranges::any_of(timeline.events,
                            [](const Event& one) { return one.action->facts().divides; }),
        ValueError,
        owner,
        of_layers,
        " has no effect: the method does not divide a sparsity among the layers");
  }
  ESPALIER_CHECK(settings.latency_batch == PruneSettings().latency_batch || is_of_latency(settings),
                 ValueError,
                 owner,
                 "latency-batch needs a target of latency");
  ESPALIER_CHECK(settings.round_channels_to <= 1 || choice.pattern.coupled(),
                 ValueError,
                 owner,
                 "round-channels-to needs the pattern channel, got ",
                 choice.pattern.name());
}

MethodChoice settled(const Method& method, PruneSettings settings) {
  const std::string owner = "prune " + method.name;
  MethodChoice choice{.method = &method, .pattern = chosen_patterns(method, settings)};
  if (choice.pattern.all_cells()) check_nothing_divided(owner, choice.pattern, settings);
  if (!settings.target.empty()) {
    const Target target = parse_target(settings.target);
    ESPALIER_CHECK(!settings.sparsity || settings.sparsity->value() == target.removed(),
                   ValueError,
                   owner,
                   ": options sparsity and target both say how much goes; give one of them");
    settings.sparsity = Sparsity(target.removed());
  }
  const UnitCell cell = choice.pattern.common().cell();
  if (!settings.sparsity) {
    settings.sparsity =
        cell.size > 0
            ? Density(static_cast<double>(cell.keep) / static_cast<double>(cell.size)).sparsity()
            : Sparsity(kDefaultSparsity);
  }
  const std::shared_ptr<void> options = method.new_options();
  read_options(owner, method.options, settings.options, options.get());
  choice.options = options;
  choice.settings = std::move(settings);
  check_heeded(choice);
  return choice;
}

}  // namespace

const std::deque<Method>& methods() {
  return list();
}

void register_method(Method method) {
  ESPALIER_CHECK(!method.name.empty() && !method.patterns.empty() && method.timeline,
                 ValueError,
                 "register_method: expects a name, a pattern and a timeline; got '",
                 method.name,
                 "'");
  const auto taken = [&](const Method& one) { return one.name == method.name; };
  ESPALIER_CHECK(std::ranges::none_of(list(), taken),
                 ValueError,
                 "register_method: there is a method named '",
                 method.name,
                 "' already");
  for (const Option& common : prune_settings().options()) {
    for (const Option& own : method.options) {
      ESPALIER_CHECK(own.name != common.name,
                     ValueError,
                     "register_method: ",
                     method.name,
                     ": every method has an option '",
                     own.name,
                     "'; choose another name");
    }
  }
  make_pattern(method.patterns.front());
  list().push_back(std::move(method));
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
                       known,
                       "; methods of other programs come with --plugin FILE"));
}

Speedup Method::speedup() const {
  return make_pattern(patterns.front())->speedup();
}

MethodFacts Method::facts() const {
  return facts_of(choose_method(*this, OptionTexts()).timeline());
}

OptionTexts MethodChoice::texts() const {
  OptionTexts texts = prune_settings().texts(settings);
  texts.merge(texts_of(method->options, options.get()));
  return texts;
}

MethodChoice choose_method(const Method& method, const OptionTexts& given) {
  OptionTexts own;
  OptionTexts common;
  for (const auto& [name, text] : given) {
    const bool shared =
        std::ranges::any_of(prune_settings().options(),
                            [&name = name](const Option& option) { return option.name == name; });
    (shared ? common : own)[name] = text;
  }
  PruneSettings settings = prune_settings().read("prune " + method.name, common);
  settings.options = std::move(own);
  return settled(method, std::move(settings));
}

MethodChoice choose_method(const Method& method, const PruneSettings& settings) {
  return settled(method, settings);
}

PruneSettings parse_settings(const Method& method, const OptionTexts& given) {
  return choose_method(method, given).settings;
}

std::unique_ptr<Pruner> make_pruner(const MethodChoice& choice, const PruneInputs& inputs) {
  return std::make_unique<Pruner>(
      choice.method->name, choice.timeline(), choice.pattern, choice.settings, inputs);
}

std::unique_ptr<Pruner> make_pruner(const std::string& name,
                                    const PruneSettings& settings,
                                    const PruneInputs& inputs) {
  return make_pruner(choose_method(method(name), settings), inputs);
}

std::map<std::string, Tensor> raw_scores(const std::string& name,
                                         nn::Module& model,
                                         const PruneSettings& settings,
                                         const PruneInputs& inputs) {
  return raw_scores(choose_method(method(name), settings), model, inputs);
}

std::map<std::string, Tensor> raw_scores(const MethodChoice& choice,
                                         nn::Module& model,
                                         const PruneInputs& inputs) {
  const std::optional<UpdateParts> update = last_update_of(choice.timeline());
  const std::shared_ptr<Score> score = update ? update->score : nullptr;
  ESPALIER_CHECK(score, NotImplemented, "score: the method ", choice.method->name, " has no score");
  const NoGrad no_grad;
  const std::vector<nn::NamedParameter> weights = prunable_weights(model, choice.settings.exclude);
  Rng rng = Rng(inputs.seed, "prune").fork(0);
  std::vector<Site> sites;  // of the weights that can have the pattern
  for (const nn::NamedParameter& weight : weights) {
    const Shape& shape = weight.parameter->shape();
    const Pattern& pattern = choice.pattern.of(weight.name);
    if (!pattern.refusal(shape).empty()) continue;
    const Units units = pattern.units(shape);
    sites.push_back({weight.name,
                     shape,
                     units.count,
                     pattern.cell(),
                     {{weight.name, weight.parameter, units, true}}});
  }
  const std::span<const Site> summed(sites);
  const std::vector<Tensor> scores =
      score->compute({model, weights, inputs, rng, nullptr, &summed});
  std::map<std::string, Tensor> result;
  size_t next = 0;
  for (size_t w = 0; w < weights.size(); ++w) {
    Tensor of_weight = scores[w].clone();
    if (next < sites.size() && sites[next].name == weights[w].name) {
      const Site& site = sites[next++];
      const std::vector<double> of_units = unit_scores(site, {&scores[w], 1}, score->reduce());
      for (int64_t i = 0; i < of_weight.numel(); ++i) {
        of_weight.data<double>()[i] =
            of_units[static_cast<size_t>(site.parts.front().units.unit(i))];
      }
    }
    result[weights[w].name] = of_weight;
  }
  return result;
}

}  // namespace espalier::prune
