// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/search/oracle.h>

#include <algorithm>

#include <espalier/core/error.h>
#include <espalier/prune/curvature/norm_statistics.h>

namespace espalier::prune {
namespace {

data::LoaderOptions plain(data::LoaderOptions options) {
  options.shuffle = false;
  options.drop_last = false;
  options.augmentation = {};
  options.workers = 0;
  return options;
}

data::LoaderOptions as_in_training(data::LoaderOptions options, int64_t samples) {
  options.batch_size = std::min(options.batch_size, samples);
  options.drop_last = true;  // a batch of one tells no variance
  options.workers = 0;
  return options;
}

}  // namespace

Oracle::Oracle(const nn::Module& model,
               const PruneInputs& inputs,
               const OracleOptions& options,
               Realize realize)
    : model_(model), options_(options), realize_(std::move(realize)) {
  ESPALIER_CHECK(inputs.dataset != nullptr && inputs.dataset->size() >= 2,
                 ValueError,
                 "prune: a search needs training data to set apart; prune inside of fit(), or set "
                 "PruneInputs::dataset");
  const int64_t size = std::min(options.samples, inputs.dataset->size() / 2);
  const data::HeldOut parts = data::hold_out(inputs.dataset, size, inputs.seed);
  rest_ = std::make_unique<data::Loader>(parts.rest,
                                         as_in_training(inputs.loading, parts.rest->size()));
  held_out_ = std::make_unique<data::Loader>(parts.held_out, plain(inputs.loading));
}

const nn::Evaluation& Oracle::evaluate(const Candidate& candidate) {
  const auto found = known_.find(candidate);
  if (found != known_.end()) return found->second;
  const std::unique_ptr<nn::Module> copy = model_.clone();
  realize_(candidate, *copy);
  if (options_.norm_batches > 0) {
    recalibrate_batch_norm(*copy, batches_like(*rest_), options_.norm_batches);
  }
  return known_[candidate] = nn::evaluate(*copy, *held_out_);
}

SearchState Oracle::state() const {
  if (known_.empty()) return {};
  std::vector<double> candidates;
  std::vector<double> results;
  for (const auto& [candidate, result] : known_) {
    candidates.insert(candidates.end(), candidate.begin(), candidate.end());
    results.insert(
        results.end(),
        {static_cast<double>(result.correct), static_cast<double>(result.total), result.loss});
  }
  const auto places = static_cast<int64_t>(known_.begin()->first.size());
  return {{"candidates", Tensor::from<double>({evaluated(), places}, candidates)},
          {"results", Tensor::from<double>({evaluated(), 3}, results)}};
}

void Oracle::load_state(const SearchState& state) {
  known_.clear();
  if (!state.contains("candidates")) return;
  const Tensor& candidates = state.at("candidates");
  const auto values = candidates.to_vector<double>();
  const auto results = state.at("results").to_vector<double>();
  const auto places = static_cast<size_t>(candidates.size(1));
  for (size_t i = 0; i * 3 < results.size(); ++i) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(i * places);
    known_[Candidate(begin, begin + static_cast<std::ptrdiff_t>(places))] = {
        .correct = static_cast<int64_t>(results[3 * i]),
        .total = static_cast<int64_t>(results[3 * i + 1]),
        .loss = results[3 * i + 2]};
  }
}

}  // namespace espalier::prune
