// SPDX-License-Identifier: Apache-2.0
/// The registry: every pruning method, its place in the survey's taxonomy (arXiv 2308.06767, Figure
/// 2), its hyper-parameters, and how to make its pruner. An explicit list (methods.inc), no static
/// initialisers, which linkers drop from static libraries.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <espalier/prune/options.h>
#include <espalier/prune/pruner.h>
#include <espalier/prune/taxonomy.h>

namespace espalier::prune {

/// One method. Exactly one of `recipe` and `make` is set.
struct Method {
  std::string name;                         ///< as typed: `gmp`, `l1-filters`
  std::string title;                        ///< `Gradual magnitude pruning`
  std::string paper;                        ///< `Zhu, Gupta, arXiv 1710.01878`
  int year = 0;                             ///< of the paper
  Speedup speedup = Speedup::Unstructured;  ///< of the default pattern
  When when = When::After;                  ///< relative to training
  How how = How::Criterion;                 ///< how weights are chosen
  bool one_shot = false;                    ///< one mask update by default
  bool global = false;                      ///< layers compete for one budget by default
  bool data_free = false;                   ///< the score needs no data
  bool regrows = false;                     ///< removed weights may come back
  std::string idea;                         ///< one or two sentences
  std::string formula;                      ///< score and selection, plain text
  std::string schedule;  ///< when masks change, and what the caller trains before and after
  std::string differs =
      {};  ///< from the published code or the paper, and what gives that; or empty
  std::vector<std::string> patterns;  ///< those it can produce; the first is the default
  std::vector<Option> options = {};   ///< its own; see also `common_options()`
  /// score x pattern x allocation x schedule (x regrowth), run by MaskPruner.
  std::function<Recipe(const OptionValues&)> recipe = {};
  /// A pruner of its own kind (gates, penalties, run-time pruning).
  std::function<std::unique_ptr<Pruner>(
      const OptionValues&, const PruneSettings&, const PruneInputs&)>
      make = {};
  /// Of run-time methods: what must be done to a network before its optimizer is made; returns what
  /// a user must know (layers without gates, and why).
  std::function<std::vector<std::string>(
      const OptionValues&, const PruneSettings&, const PruneInputs&, nn::Module&)>
      prepare = {};
  /// Of methods with `make`: the raw score, if there is one.
  std::function<std::unique_ptr<Score>(const OptionValues&)> score = {};
};

/// All methods, in the order of the taxonomy.
const std::vector<Method>& methods();
/// Throws ValueError with the nearest names.
const Method& method(const std::string& name);

/// The options that every method has: `sparsity`, `pattern`, `exclude`, `min-per-layer`,
/// `allow-collapse`, `ablation`.
const std::vector<Option>& common_options();
/// Settings from texts by option name, common options and the method's own together; missing ones
/// keep their defaults. Throws ValueError for unknown names, bad values and an allocation for an
/// N:M pattern, which leaves nothing to divide.
PruneSettings parse_settings(const Method& method, const std::map<std::string, std::string>& given);

/// The pruner of a method, ready to be a hook of `nn::fit`. Throws ValueError for an unknown
/// method, option or pattern, and when the method needs something that `inputs` lacks.
std::unique_ptr<Pruner> make_pruner(const std::string& method,
                                    const PruneSettings& settings,
                                    const PruneInputs& inputs = {});

/// Adds what the method trains besides the weights (gates of run-time methods) to a model; call it
/// before the model's optimizer is made. Nothing to do for other methods. Returns what a user must
/// know. Throws ValueError and NotImplemented for a model that the method can't serve.
std::vector<std::string> prepare_network(const std::string& method,
                                         const PruneSettings& settings,
                                         const PruneInputs& inputs,
                                         nn::Module& model);

/// The raw scores of a method for the model as it is, in the paper's convention, by parameter name
/// and in the parameter's shape (float64; entries of a structured unit all hold the unit's score).
/// Throws NotImplemented for a method without a score.
std::map<std::string, Tensor> raw_scores(const std::string& method,
                                         nn::Module& model,
                                         const PruneSettings& settings,
                                         const PruneInputs& inputs);

/// The taxonomy as JSON: a list of objects with `name`, `title`, `paper`, `year`, `speedup`,
/// `when`, `how`, `one_shot`, `global`, `data_free`, `patterns`, `idea`, `formula`, `schedule`,
/// `differs` and `options`
/// (`name`, `kind`, `default`, `unit`, `help`, and `min`/`max` or `choices`).
std::string methods_json();
/// One of these objects.
std::string method_json(const Method& method);
/// Paper, idea, formula, schedule, differences and options as text of at most 100 columns.
std::string explain(const Method& method);

}  // namespace espalier::prune
