// SPDX-License-Identifier: Apache-2.0
/// The registry: every pruning method by name, and how to make its pruner.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <espalier/prune/drive/method.h>
#include <espalier/prune/drive/pruner.h>

namespace espalier::prune {

/// All methods: the built-in ones in the order of the taxonomy (an explicit list, methods.inc, as
/// linkers drop static initialisers from static libraries), then those that programs registered.
const std::deque<Method>& methods();
/// Throws ValueError with the nearest names.
const Method& method(const std::string& name);
/// Adds a method of a program's own, before threads are started: from then on it has a place in
/// `methods()`, in the command's flags and in its help. Throws ValueError for a name that is taken,
/// for a method without name, pattern or timeline, and for an option that every method has.
void register_method(Method method);

/// A method with all its settings chosen: what texts said was read, and is not read again.
struct MethodChoice {
  const Method* method = nullptr;            ///< in the registry
  PruneSettings settings = {};               ///< with sparsity and pattern settled
  LayerPatterns pattern = {};                ///< of those names
  std::shared_ptr<const void> options = {};  ///< the struct of its hyper-parameters
  /// All settings as texts, those every method has and its own.
  OptionTexts texts() const;
  /// What it does.
  Timeline timeline() const { return method->timeline(options.get(), settings); }
};
/// From texts by option name, those that every method has and its own together; missing ones keep
/// their defaults. Throws ValueError for unknown names, bad values, and what divides a sparsity
/// where every layer has an N:M pattern, which leaves nothing to divide.
MethodChoice choose_method(const Method& method, const OptionTexts& given);
/// From settings in C++; the method's own are the texts in them. Throws as above.
MethodChoice choose_method(const Method& method, const PruneSettings& settings);
/// The settings of such a choice.
PruneSettings parse_settings(const Method& method, const OptionTexts& given);

/// The pruner of a method, ready to be a hook of `nn::fit`. Throws ValueError when the method needs
/// something that `inputs` lacks.
std::unique_ptr<Pruner> make_pruner(const MethodChoice& choice, const PruneInputs& inputs = {});
/// The same by name. Throws ValueError as `method` and `choose_method` do.
std::unique_ptr<Pruner> make_pruner(const std::string& method,
                                    const PruneSettings& settings,
                                    const PruneInputs& inputs = {});

/// The raw scores of a method for the model as it is, in the paper's convention, by parameter name
/// and in the parameter's shape (float64; entries of a structured unit all hold the unit's score).
/// Throws NotImplemented for a method without a score.
std::map<std::string, Tensor> raw_scores(const MethodChoice& choice,
                                         nn::Module& model,
                                         const PruneInputs& inputs);
/// The same by name. Throws ValueError as `method` and `choose_method` do.
std::map<std::string, Tensor> raw_scores(const std::string& method,
                                         nn::Module& model,
                                         const PruneSettings& settings,
                                         const PruneInputs& inputs);

/// Methods as JSON: a list of objects with `name`, `title`, `paper`, `year`, `speedup`,
/// `when`, `how`, `one_shot`, `global`, `data_free`, `patterns`, `idea`, `formula`, `schedule`,
/// `differs`, `use_when`, `not_when` and `options` (`name`, `kind`, `default`, `unit`, `help`, and
/// `min`/`max` or `choices`).
std::string methods_json(const std::vector<const Method*>& which);
/// Of all methods.
std::string methods_json();
/// One of these objects.
std::string method_json(const Method& method);
/// Paper, idea, formula, schedule, differences, options, and when to use it and when not, as text
/// of at most 100 columns.
std::string explain(const Method& method);

namespace detail {
/// The methods of methods.inc.
std::vector<Method> built_in_methods();
}  // namespace detail

}  // namespace espalier::prune
