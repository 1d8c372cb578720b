// SPDX-License-Identifier: Apache-2.0
/// A method with the pattern that somebody's answers ask for, and what follows from its parts. No
/// rule knows methods by name: what it asks of one is here.
#pragma once

#include <string>
#include <vector>

#include <espalier/experiments/advise/answers.h>
#include <espalier/experiments/advise/recorded.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments::advise {

/// Where no target is given: of single weights so many go, ..
inline constexpr double kUsualSparsity = 0.9;
/// .. and of channels so many that this share of the multiply-accumulates is left.
inline constexpr double kUsualShare = 0.5;

/// One method as it would be used.
struct Candidate {
  const prune::Method* method = nullptr;  ///< in the registry
  std::string pattern = {};               ///< of the method's; empty: it has none that would do
  prune::MethodFacts facts = {};
  bool by_design = false;         ///< the pattern is the method's default
  bool cuts = false;              ///< whole channels go, which `shrink` takes out
  bool n_m = false;               ///< N of every M weights stay
  bool gates = false;             ///< it skips by input, and keeps all weights
  bool factors = false;           ///< thin dense layers take the place of wide ones
  bool meets = false;             ///< the target that is asked, or where there is none, one of MACs
  bool rounds = false;            ///< it trains several times by itself
  bool starts_trained = false;    ///< it starts from trained weights
  bool acts_in_training = false;  ///< a penalty, a form or gates are at work while training goes on
  bool needs_labels = false;      ///< it chooses by a loss of labels
  bool looks = false;             ///< it chooses by what samples do in the network, without labels
  bool repairs = false;           ///< it gives what stays new values
  bool searches = false;          ///< it tries and judges candidates
  std::vector<Quote> quotes = {};  ///< recorded figures
};

/// The method under these answers.
Candidate candidate_of(const prune::Method& method, const Question& question);

}  // namespace espalier::experiments::advise
