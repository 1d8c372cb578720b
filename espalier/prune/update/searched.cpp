// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/update/searched.h>

#include <optional>

#include <espalier/core/detail/checksum.h>
#include <espalier/core/safetensors.h>
#include <espalier/prune/sites/channel_weights.h>
#include <espalier/prune/update/to_budget.h>

namespace espalier::prune {
namespace {

std::vector<std::string> names_of(std::span<const Site> sites) {
  std::vector<std::string> names;
  for (const Site& site : sites) names.push_back(site.name);
  return names;
}

/// Candidates of one update.
class Space {
 public:
  Space(const Subject& subject,
        const MaskUpdate& start,
        const std::vector<std::vector<double>>& scores,
        const Moment& moment,
        Rng rng)
      : subject_(subject), start_(start), scores_(scores), moment_(moment), rng_(rng) {
    if (has_budget(subject)) budget_.emplace(subject);
  }

  /// The update that keeps these shares.
  MaskUpdate update(const Candidate& ratios) const {
    MaskUpdate candidate = start_;
    Rng own = rng_;
    const std::shared_ptr<const Allocation> shares =
        ratio_allocation(ratios, Ratios::Fixed, names_of(start_.sites()));
    const auto allocation = named_allocation(shares, subject_.settings.layer_sparsity);
    candidate.choose(scores_, *allocation, moment_, {}, own);
    return candidate;
  }

  /// Sets the masks of the shares on a copy of the network.
  void realize(const Candidate& ratios, nn::Module& copy) const {
    const MaskUpdate candidate = update(ratios);
    const auto own = subject_.model.named_parameters();
    const auto copied = copy.named_parameters();
    for (size_t p = 0; p < own.size(); ++p) {
      const Tensor mask = candidate.mask_of(*own[p].parameter);
      if (mask.defined()) copied[p].parameter->set_mask(mask);
    }
  }

  double cost(const Candidate& ratios) {
    const auto known = costs_.find(ratios);
    if (known != costs_.end()) return known->second;
    const MaskUpdate candidate = update(ratios);
    return costs_[ratios] = budget_ ? budget_->cost_of(candidate) : weights_left(candidate);
  }

  double budget() const {
    const double dense = budget_ ? budget_->dense_cost() : all_weights();
    return (1.0 - moment_.sparsity.value()) * dense;
  }

 private:
  /// The weights that a sparsity counts: all of them where channels go, else those of the sites.
  double all_weights() const {
    double weights = 0.0;
    if (subject_.pattern.coupled()) {
      for (const nn::NamedParameter& one : start_.weights()) {
        weights += static_cast<double>(one.parameter->numel());
      }
      return weights;
    }
    for (const Site& site : start_.sites()) weights += static_cast<double>(site.shape.numel());
    return weights;
  }

  double weights_left(const MaskUpdate& candidate) const {
    double gone = 0.0;
    if (subject_.pattern.coupled()) {
      ChannelWeights left(start_.sites(), start_.weights());
      for (size_t s = 0; s < candidate.kept().size(); ++s) {
        for (size_t u = 0; u < candidate.kept()[s].size(); ++u) {
          if (candidate.kept()[s][u] == 0) left.remove(s, static_cast<int64_t>(u));
        }
      }
      return static_cast<double>(left.left());
    }
    for (size_t s = 0; s < candidate.kept().size(); ++s) {
      const auto weights = start_.sites()[s].unit_weights();
      for (size_t u = 0; u < weights.size(); ++u) {
        if (candidate.kept()[s][u] == 0) gone += static_cast<double>(weights[u]);
      }
    }
    return all_weights() - gone;
  }

  const Subject& subject_;
  const MaskUpdate& start_;
  const std::vector<std::vector<double>>& scores_;
  const Moment& moment_;
  Rng rng_;
  std::optional<BudgetSearch> budget_;
  std::map<Candidate, double> costs_;
};

/// What a kept search must have been: of this network, this seed and this budget.
std::string identity(const Subject& subject, const RatioTask& task) {
  std::vector<uint8_t> bytes;
  for (const auto& [name, tensor] : subject.model.state_dict()) {
    bytes.insert(bytes.end(), name.begin(), name.end());
    const Tensor plain = tensor.contiguous();
    const auto* data = static_cast<const uint8_t*>(plain.raw());
    bytes.insert(bytes.end(), data, data + plain.nbytes());
  }
  return cat(espalier::detail::crc32(bytes), " ", task.seed, " ", task.budget);
}

/// The file in which a search is kept, if there is one.
class KeptSearch {
 public:
  KeptSearch(const Subject& subject, const RatioTask& task)
      : file_(subject.inputs.search),
        identity_(file_.empty() ? std::string() : identity(subject, task)) {}

  /// What was kept; nothing where that was another search.
  SearchState load() const {
    if (file_.empty() || !std::filesystem::exists(file_)) return {};
    SafetensorsFile file = load_safetensors(file_);
    if (file.metadata["search"] != identity_) return {};
    return std::move(file.tensors);
  }

  void save(const SearchState& state) const {
    if (!file_.empty()) save_safetensors(file_, {state, {{"search", identity_}}});
  }

 private:
  std::filesystem::path file_;
  std::string identity_;
};

constexpr const char* kOracle = "oracle.";

SearchState part(const SearchState& state, bool of_oracle) {
  SearchState result;
  for (const auto& [name, tensor] : state) {
    if (name.starts_with(kOracle) != of_oracle) continue;
    result[of_oracle ? name.substr(std::string(kOracle).size()) : name] = tensor;
  }
  return result;
}

}  // namespace

std::shared_ptr<const Allocation> searched_allocation(
    const UpdateParts& parts,
    const Subject& subject,
    const MaskUpdate& start,
    const std::vector<std::vector<double>>& scores,
    const Moment& moment,
    Rng rng,
    std::vector<std::string>& notes) {
  Space space(subject, start, scores, moment, rng);
  Oracle oracle(
      subject.model, subject.inputs, parts.oracle, [&](const Candidate& ratios, nn::Module& copy) {
        space.realize(ratios, copy);
      });
  Rng of_search = rng.fork(stream_id("search"));
  RatioTask task{.places = searched_sites(subject.model, start.sites(), subject.inputs.input_shape),
                 .cost = [&](const Candidate& ratios) { return space.cost(ratios); },
                 .budget = space.budget(),
                 .evaluate = [&](const Candidate& ratios) { return oracle.evaluate(ratios); },
                 .seed = of_search.next_u32(),
                 .scores = scores,
                 .notes = &notes};
  const KeptSearch kept(subject, task);
  const SearchState saved = kept.load();
  oracle.load_state(part(saved, true));
  task.saved = part(saved, false);
  task.keep = [&](const SearchState& state) {
    SearchState all = state;
    for (const auto& [name, tensor] : oracle.state()) all[kOracle + name] = tensor;
    kept.save(all);
  };
  return ratio_allocation(parts.search->search(task), Ratios::Scaled, names_of(start.sites()));
}

}  // namespace espalier::prune
