// SPDX-License-Identifier: Apache-2.0
/// Method: a pruning method as a value: its place in the survey's taxonomy (arXiv 2308.06767,
/// Figure 2), prose, hyper-parameters as a plain struct, and the timeline that they make.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <espalier/core/options/table.h>
#include <espalier/prune/ground/taxonomy.h>
#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

/// What is told of a method. What follows from its parts is computed (`facts_of`).
struct MethodText {
  std::string name;           ///< as typed: `gmp`, `l1-filters`
  std::string title;          ///< `Gradual magnitude pruning`
  std::string paper;          ///< `Zhu, Gupta, arXiv 1710.01878`
  int year = 0;               ///< of the paper
  When when = When::After;    ///< relative to training
  How how = How::Criterion;   ///< how weights are chosen
  std::string idea;           ///< one or two sentences
  std::string formula;        ///< score and selection, plain text
  std::string schedule;       ///< when masks change, and what the caller trains before and after
  std::string differs = {};   ///< from the published code or the paper, and what gives that
  std::string use_when = {};  ///< where to use it: a short sentence, of at most 120 characters
  std::string not_when = {};  ///< where another one does better, likewise
  std::vector<std::string> patterns;  ///< those it can produce; the first is the default
};

/// One method.
struct Method : MethodText {
  /// Its own hyper-parameters; see also `prune_settings()`.
  std::vector<Option> options = {};
  /// The struct of its hyper-parameters, at its defaults.
  std::function<std::shared_ptr<void>()> new_options = {};
  /// What it does, with hyper-parameters in a struct that `new_options` made.
  std::function<Timeline(const void* options, const PruneSettings& settings)> timeline = {};
  /// What kind of speed-up its default pattern gives.
  Speedup speedup() const;
  /// What follows from its timeline at the defaults.
  MethodFacts facts() const;
};

/// A method whose hyper-parameters are a plain struct H. `timeline` makes its events from them and
/// from the settings, whose sparsity and pattern are settled.
template <class H>
Method make_method(MethodText text,
                   const OptionTable<H>& table,
                   std::function<Timeline(const H&, const PruneSettings&)> timeline) {
  Method method{std::move(text)};
  method.options = table.options();
  method.new_options = [] { return std::make_shared<H>(); };
  method.timeline = [timeline = std::move(timeline)](const void* options,
                                                     const PruneSettings& settings) {
    return timeline(*static_cast<const H*>(options), settings);
  };
  return method;
}

}  // namespace espalier::prune
