// SPDX-License-Identifier: Apache-2.0
/// AMC: an agent learns how much each layer keeps.
///
/// Source: He, Lin, Liu, Wang, Li, Han, arXiv 1802.03494, and the authors' code.
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

enum class Searcher : uint8_t { Ddpg, Evolution, Random };
enum class Reward : uint8_t { Error, ErrorLogCost };

struct Amc {
  Searcher search = Searcher::Ddpg;
  Reward reward = Reward::Error;
  int64_t episodes = 400;
  double least = 0.2;
  int64_t held_out = 5000;
  int64_t norm_batches = 4;
  int64_t warmup = 100;
  double noise = 0.5;
  double noise_decay = 0.95;
  double actor_lr = 1e-4;
  double critic_lr = 1e-3;
};

std::unique_ptr<Agent> make_agent(const Amc& o, int64_t places, uint64_t seed) {
  const std::vector<Gene> genes(static_cast<size_t>(places));
  if (o.search == Searcher::Random) return agent_of(random_search(genes, seed));
  if (o.search == Searcher::Evolution) return agent_of(evolution(genes, {}, seed));
  return ddpg_agent(kWalkFeatures,
                    places,
                    {.actor_lr = o.actor_lr,
                     .critic_lr = o.critic_lr,
                     .warmup = o.warmup,
                     .noise = o.noise,
                     .noise_decay = o.noise_decay},
                    seed);
}

}  // namespace

Method amc() {
  return make_method<Amc>(
      {.name = "amc",
       .title = "AMC: layers' shares by an agent",
       .paper = "He, Lin, Liu, Wang, Li, Han, arXiv 1802.03494",
       .year = 2018,
       .how = How::Learning,
       .idea = "An agent walks through the network and says how much of each layer stays. What the "
               "pruned network is worth without training teaches it.",
       .formula =
           "share a_t = mu(layer t, cost saved, cost to come, a_t-1), at most so much that the "
           "target can be met with `least` behind; inside of a layer the largest sums of |w| stay; "
           "reward R = -error, for every layer; actor and critic learn by deep deterministic "
           "policy gradient from y = R - b + Q'(s', mu'(s'))",
       .schedule = "start from trained weights; one update before fine-tuning, after `episodes` "
                   "walks without training; then shrink",
       .differs =
           "a channel's score is of the filter that makes it, not of the weights that read it; "
           "batch norm is measured again, published code makes the readers' weights anew by least "
           "squares; the cost saved so far counts layers to come as whole, as the paper says; what "
           "the best walk leaves of the target is given back to all layers; numbers of channels "
           "are multiples of 8 with round-channels-to 8 only",
       .use_when = "Layers need different shares within a budget, and hundreds of evaluations can "
                   "be paid for.",
       .not_when = "Evaluations are costly, or there are no labels on which to judge candidates.",
       .patterns = {"channel", "filter", "unstructured"}},
      {{&Amc::search,
        "search",
        {"ddpg", "evolution", "random"},
        "who says the shares; random is the control"},
       {&Amc::reward,
        "reward",
        {"error", "error-log-cost"},
        "-error, or -error ln(cost), the cost being what the target counts"},
       {&Amc::episodes, "episodes", {1, 1'000'000}, "", "networks that are tried"},
       {&Amc::least, "least", {0.001, 1}, "of a layer's units", "no layer keeps less"},
       {&Amc::held_out,
        "held-out",
        {1, 1e9},
        "samples of training data",
        "on which networks are judged, half of the data at most"},
       {&Amc::norm_batches,
        "norm-batches",
        {0, 1'000'000},
        "",
        "batches on which batch norm's statistics are measured before a network is judged"},
       OptionEntry<Amc>(&Amc::warmup, "warm-up", {0, 1'000'000}, "", "episodes at random first")
           .needing("search", {"ddpg"}),
       OptionEntry<Amc>(&Amc::noise,
                        "noise",
                        {0, 10},
                        "standard deviation of a share",
                        "exploration after the warm-up")
           .needing("search", {"ddpg"}),
       OptionEntry<Amc>(&Amc::noise_decay, "noise-decay", {0, 1}, "an episode", "of the noise")
           .needing("search", {"ddpg"}),
       OptionEntry<Amc>(&Amc::actor_lr, "actor-lr", {0, 1}, "", "learning rate of the actor")
           .needing("search", {"ddpg"}),
       OptionEntry<Amc>(&Amc::critic_lr, "critic-lr", {0, 1}, "", "learning rate of the critic")
           .needing("search", {"ddpg"})},
      [](const Amc& o, const PruneSettings&) -> Timeline {
        return {{at(
            one_shot_schedule(),
            mask_update(
                {.score = magnitude_score(),
                 .search = walk_search(
                     {.episodes = o.episodes,
                      .least = o.least,
                      .agent = [o](int64_t places,
                                   uint64_t seed) { return make_agent(o, places, seed); },
                      .reward = o.reward == Reward::Error ? error_reward : error_log_cost_reward}),
                 .oracle = {.samples = o.held_out, .norm_batches = o.norm_batches},
                 .min_per_layer = 1}))}};
      });
}

}  // namespace espalier::prune::method_list
