// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/search/walk.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <espalier/core/error.h>

namespace espalier::prune {
namespace {

/// Sums of whole numbers times shares are right up to so much.
constexpr double kRounding = 1e-12;
/// A budget that asks for less than this share of every place is beyond what walks can do.
constexpr double kLowest = 1e-3;

int64_t units_of(const SearchedSite& place, double ratio) {
  const auto units = static_cast<int64_t>(std::llround(ratio * static_cast<double>(place.units)));
  return std::clamp<int64_t>(units, 1, place.units);
}

double ratio_of(const SearchedSite& place, int64_t units) {
  return static_cast<double>(units) / static_cast<double>(place.units);
}

Candidate all_at(const RatioTask& task, double ratio) {
  Candidate candidate;
  for (const SearchedSite& place : task.places) {
    candidate.push_back(ratio_of(place, units_of(place, ratio)));
  }
  return candidate;
}

bool fits(const RatioTask& task, const Candidate& candidate) {
  return task.cost(candidate) <= task.budget * (1.0 + kRounding);
}

void tell(const RatioTask& task, std::string note) {
  if (task.notes != nullptr) task.notes->push_back(std::move(note));
}

class WalkSearch : public RatioSearch {
 public:
  explicit WalkSearch(const WalkOptions& options) : options_(options) {
    ESPALIER_CHECK(
        options.agent && options.reward, ValueError, "walk_search: needs an agent and a reward");
  }

  Candidate search(const RatioTask& task) override {
    const Walker walker(task, lower_bound(task));
    const std::unique_ptr<Agent> agent =
        options_.agent(static_cast<int64_t>(task.places.size()), task.seed);
    Best best;
    const int64_t start = task.saved.empty() ? 0 : resume(task.saved, *agent, best);
    for (int64_t episode = start; episode < options_.episodes; ++episode) {
      const Candidate candidate = walker.walk(*agent);
      const nn::Evaluation value = task.evaluate(candidate);
      const double reward = options_.reward(value, task.cost(candidate));
      agent->finish(candidate, reward);
      if (best.ratios.empty() || reward > best.reward) {
        best = {candidate, reward, value.accuracy(), episode};
      }
      if (task.keep) task.keep(save(*agent, best, episode + 1));
    }
    tell(task,
         fmt::format("of {} searched networks number {} is the best, with an accuracy of {:.4f} on "
                     "samples set apart",
                     options_.episodes,
                     best.episode + 1,
                     best.accuracy));
    return best.ratios;
  }

 private:
  struct Best {
    Candidate ratios;
    double reward = 0.0;
    double accuracy = 0.0;
    int64_t episode = 0;
  };

  /// Takes an agent through the places.
  class Walker {
   public:
    Walker(const RatioTask& task, double least)
        : task_(task), least_(least), features_(layer_features(task.places)) {
      const Candidate dense(task.places.size(), 1.0);
      dense_cost_ = task.cost(dense);
      int64_t behind = 0;
      for (const SearchedSite& place : task.places) behind += place.macs;
      const double all = std::max<double>(1.0, static_cast<double>(behind));
      for (const SearchedSite& place : task.places) {
        behind -= place.macs;
        rest_.push_back(static_cast<double>(behind) / all);
      }
    }

    Candidate walk(Agent& agent) const {
      Candidate candidate = all_at(task_, least_);
      Candidate so_far(candidate.size(), 1.0);  // places behind are whole
      for (size_t p = 0; p < candidate.size(); ++p) {
        std::vector<double> state = features_[p];
        const double saved = p == 0 ? 0.0 : dense_cost_ - task_.cost(so_far);
        state.insert(state.end(), {saved / dense_cost_, rest_[p], p == 0 ? 1.0 : candidate[p - 1]});
        candidate[p] = within_budget(task_, candidate, p, agent.act(state), least_);
        so_far[p] = candidate[p];
      }
      return candidate;
    }

   private:
    const RatioTask& task_;
    double least_;
    double dense_cost_ = 0.0;
    std::vector<std::vector<double>> features_;
    std::vector<double> rest_;
  };

  double lower_bound(const RatioTask& task) const {
    double least = options_.least;
    while (!fits(task, all_at(task, least)) && least > kLowest) least *= 0.5;
    if (least < options_.least) {
      tell(task,
           fmt::format("layers may keep {:g} of their units at least, since {:g} is more than the "
                       "target leaves",
                       least,
                       options_.least));
    }
    return least;
  }

  static SearchState save(const Agent& agent, const Best& best, int64_t episodes) {
    SearchState state;
    for (const auto& [name, tensor] : agent.state()) state["agent." + name] = tensor;
    state["best"] = Tensor::from<double>({static_cast<int64_t>(best.ratios.size())}, best.ratios);
    state["walks"] = Tensor::from<double>({4},
                                          {static_cast<double>(episodes),
                                           best.reward,
                                           best.accuracy,
                                           static_cast<double>(best.episode)});
    return state;
  }

  static int64_t resume(const SearchState& saved, Agent& agent, Best& best) {
    SearchState of_agent;
    for (const auto& [name, tensor] : saved) {
      if (name.starts_with("agent.")) of_agent[name.substr(6)] = tensor;
    }
    agent.load_state(of_agent);
    const auto walks = saved.at("walks").to_vector<double>();
    best = {
        saved.at("best").to_vector<double>(), walks[1], walks[2], static_cast<int64_t>(walks[3])};
    return static_cast<int64_t>(walks[0]);
  }

  WalkOptions options_;
};

}  // namespace

double error_reward(const nn::Evaluation& value, double /*cost*/) {
  return value.accuracy() - 1.0;
}

double error_log_cost_reward(const nn::Evaluation& value, double cost) {
  return (value.accuracy() - 1.0) * std::log(cost);
}

double within_budget(
    const RatioTask& task, Candidate candidate, size_t place, double asked, double least) {
  const SearchedSite& here = task.places[place];
  const auto with = [&](int64_t units) {
    candidate[place] = ratio_of(here, units);
    return fits(task, candidate);
  };
  int64_t low = units_of(here, least);
  int64_t high = std::max(low, units_of(here, asked));
  if (with(high)) return ratio_of(here, high);
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (with(middle) ? low : high) = middle;
  }
  return ratio_of(here, low);
}

std::shared_ptr<RatioSearch> walk_search(const WalkOptions& options) {
  return std::make_shared<WalkSearch>(options);
}

}  // namespace espalier::prune
