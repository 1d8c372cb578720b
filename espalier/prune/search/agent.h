// SPDX-License-Identifier: Apache-2.0
/// Agent: decides the numbers of a candidate one after another, each from what is known by then,
/// and learns from what the whole was worth.
#pragma once

#include <memory>
#include <span>

#include <espalier/prune/search/search.h>

namespace espalier::prune {

/// Decides place by place.
class Agent {
 public:
  virtual ~Agent() = default;
  /// A number in 0 .. 1 for the next place, from its state.
  virtual double act(std::span<const double> state) = 0;
  /// After the last place: what has become of the numbers, and what that was worth (higher is
  /// better).
  virtual void finish(const Candidate& candidate, double reward) = 0;
  /// What it must remember between two candidates.
  virtual SearchState state() const = 0;
  /// Takes over what `state()` gave.
  virtual void load_state(const SearchState& state) = 0;
};

/// Looks at no state: numbers are what a search proposes.
std::unique_ptr<Agent> agent_of(std::unique_ptr<Search> search);

/// Settings of the deep deterministic policy gradient, as AMC has them.
struct DdpgOptions {
  int64_t hidden = 300;       ///< units of each of two hidden layers
  double actor_lr = 1e-4;     ///< learning rate of the actor
  double critic_lr = 1e-3;    ///< learning rate of the critic
  double follow = 0.01;       ///< share of the new weights that the target networks take at a time
  int64_t batch = 64;         ///< remembered steps of an update
  int64_t replay = 100;       ///< remembered steps for each place
  double discount = 1.0;      ///< of the next step's value
  int64_t warmup = 100;       ///< candidates that are random, before anything is learned
  double noise = 0.5;         ///< standard deviation of the first exploration after them
  double noise_decay = 0.95;  ///< factor of it for each candidate
  double baseline = 0.5;      ///< share of a batch's mean reward in the moving mean
};
/// The standard deviation of the numbers of candidate `episode`, counted from 0; of random ones 0.
double exploration(const DdpgOptions& options, int64_t episode);

/// Deep deterministic policy gradient: an actor mu says a number in 0 .. 1, a critic Q what a
/// number is worth in a state. After each candidate, for each of its places, a step with the
/// candidate's whole reward r is remembered, and both learn from a random batch:
///   y = r - b + discount * Q'(s', mu'(s')), without the last part at the last place;
///   the critic lowers mean (Q(s, a) - y)^2, the actor raises mean Q(s, mu(s)), by Adam;
///   Q' and mu' follow slowly; b is the moving mean of the batches' mean rewards.
/// Numbers are drawn from a normal distribution around mu(s), cut off at 0 and 1. Both networks
/// have two hidden layers with ReLU; the actor ends in a sigmoid. (ddpg.cpp) Source: Lillicrap et
/// al., arXiv 1509.02971; He, Lin et al., arXiv 1802.03494.
std::unique_ptr<Agent> ddpg_agent(int64_t features,
                                  int64_t places,
                                  const DdpgOptions& options,
                                  uint64_t seed);

}  // namespace espalier::prune
