// SPDX-License-Identifier: Apache-2.0
/// Oracle: what a candidate is worth, without training. A copy of the network is made as the
/// candidate says, its batch norms are measured again, and it is evaluated on samples that were set
/// apart from the training data; the test data is never looked at.
#pragma once

#include <functional>
#include <memory>

#include <espalier/data/loader.h>
#include <espalier/nn/train/fit.h>
#include <espalier/prune/ground/inputs.h>
#include <espalier/prune/search/candidate.h>

namespace espalier::prune {

/// How candidates are judged.
struct OracleOptions {
  int64_t samples = 5000;  ///< of the training data, set apart; at most half of it
  /// Augmented batches of the others on which batch norms are measured; 0: they stay as they are.
  int64_t norm_batches = 0;
};

/// Judges candidates. A pure function of the network, the candidate and the seed.
class Oracle {
 public:
  /// Makes of a copy of the network what a candidate says: masks, fewer channels, other weights.
  using Realize = std::function<void(const Candidate& candidate, nn::Module& copy)>;

  /// `model` must live as long and not change. Throws ValueError without `inputs.dataset`, and for
  /// a data set of fewer than two samples.
  Oracle(const nn::Module& model,
         const PruneInputs& inputs,
         const OracleOptions& options,
         Realize realize);

  /// Accuracy and loss on what was set apart; of a candidate that was asked for before, from
  /// memory.
  const nn::Evaluation& evaluate(const Candidate& candidate);
  /// Candidates that were evaluated, those that a loaded state holds included.
  int64_t evaluated() const { return static_cast<int64_t>(known_.size()); }

  /// What was evaluated so far.
  SearchState state() const;
  /// Takes over what `state()` gave.
  void load_state(const SearchState& state);

 private:
  const nn::Module& model_;
  OracleOptions options_;
  Realize realize_;
  std::unique_ptr<data::Loader> rest_;
  std::unique_ptr<data::Loader> held_out_;
  std::map<Candidate, nn::Evaluation> known_;
};

}  // namespace espalier::prune
