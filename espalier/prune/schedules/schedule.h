// SPDX-License-Identifier: Apache-2.0
/// Schedule: at which steps masks change, and to which sparsity. A pure function of the length of
/// training, so that it can be printed beforehand and a resumed run needs no memory of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <espalier/prune/ground/sparsity.h>

namespace espalier::prune {

/// When a mask update is made, and how far it goes: before the forward pass of `step` (0: before
/// training; total_steps: after the last step). One that grows weights where a gradient is large
/// comes after the backward pass, and takes the place of the optimizer's step.
struct Moment {
  int64_t step = 0;                   ///< before whose forward pass it is
  Sparsity sparsity = Sparsity(0.0);  ///< reached by it
  /// Fraction of the kept units that change places, of methods that grow: after pruning to
  /// `sparsity`, in every site for itself, rounded down.
  double moved = 0.0;
  /// When set, the update removes this fraction of the weights that are still there, rounded up,
  /// and `sparsity` only tells about where that leads.
  double of_remaining = 0.0;
  /// Of updates that grow to an allocation: before, only this share of what `sparsity` keeps
  /// survives.
  double survivors = 1.0;
  /// How far layers with cells are on the way to their own number, where `sparsity` does not say it
  /// because it is searched.
  std::optional<double> way = {};
  /// At the end of the epoch whose last step is `step` - 1, before it is evaluated.
  bool ends_epoch = false;
};

/// How long training is.
struct TrainingLength {
  int64_t steps = 0;            ///< of the whole training
  int64_t steps_per_epoch = 0;  ///< batches an epoch
};

/// When to prune how much.
class Schedule {
 public:
  virtual ~Schedule() = default;
  /// Moments in order of step, the last to `final`.
  virtual std::vector<Moment> moments(const TrainingLength& length, Sparsity final) const = 0;
};

/// All at once: before training, or at a fraction of it; to another sparsity than the final one if
/// wanted.
std::unique_ptr<Schedule> one_shot_schedule(double at = 0.0, std::optional<Sparsity> to = {});

/// Which ends of epochs are meant.
enum class Epochs : uint8_t {
  BeforeTheLast,  ///< before training, after the first epoch and every `every`-th from it
  Last            ///< after the last epoch
};
/// The final sparsity at ends of epochs.
std::unique_ptr<Schedule> epochs_schedule(Epochs which, int64_t every = 1);

/// How the kept fraction shrinks from round to round.
enum class Pace : uint8_t {
  Exponential,  ///< (1-S)^(r/rounds): by the same factor
  Linear,       ///< 1 - S r/rounds: by the same number of weights
};

/// `rounds` updates at the given pace, spread evenly over the first `until` (a fraction) of
/// training: with until = 1 every round is followed by the same number of training steps, with
/// until = 0 all are made before training. Source: Han et al., arXiv 1506.02626; the exponential
/// rule as in arXiv 1803.03635.
std::unique_ptr<Schedule> iterative_schedule(int64_t rounds,
                                             double until,
                                             Pace pace = Pace::Exponential);
/// Rounds of train-and-prune, every one after the last step of training (for methods with a
/// recovery): to kept fractions (1-S)^(r/rounds), or with `rounds` 0 by `fraction` of what remains
/// in each round but the last, which ends at S. Source: Frankle, Carbin, arXiv 1803.03635.
std::unique_ptr<Schedule> rounds_schedule(int64_t rounds, double fraction);

/// Settings of the cubic schedule.
struct CubicOptions {
  double begin = 0.2;                ///< first update, as a fraction of training
  double end = 0.75;                 ///< the final sparsity is reached here at the latest
  int64_t frequency = 100;           ///< steps between updates
  Sparsity initial = Sparsity(0.0);  ///< before the first update
};
/// s_t = s_f + (s_i - s_f) (1 - (t - t0) / (n dt))^3 for t = t0, t0 + dt, .., t0 + n dt: fast
/// first. When the interval is shorter than `frequency`, there are two updates, at its ends.
/// Source: Zhu, Gupta, arXiv 1710.01878, equation 1.
std::unique_ptr<Schedule> cubic_schedule(const CubicOptions& options);

/// Kinds of phases of a training.
enum class Phase : uint8_t {
  Sparse,  ///< at the final sparsity
  Dense    ///< with all weights
};
/// Settings of phases, as fractions of training.
struct PhaseOptions {
  double begin = 0.05;  ///< the first sparse phase; a dense one comes before
  double length = 0.1;  ///< of all phases but the first and the last two
  double last = 0.85;   ///< the last sparse phase, until the end
};
/// Where the phases of a kind begin: sparse and dense ones in turns from `begin`, as many as fit so
/// that the dense one that leads to `last` is at least as long as the others. Phases without a step
/// are left out. Source: Peste et al., arXiv 2106.12379.
std::unique_ptr<Schedule> phases_schedule(Phase which, const PhaseOptions& options);

/// How the moved fraction changes during training.
enum class MovedDecay : uint8_t {
  Constant,  ///< fraction
  Cosine,    ///< least + (fraction - least) / 2 (1 + cos(pi t / T_end))
};
/// Settings of the dynamic schedule.
struct DynamicOptions {
  int64_t frequency = 100;  ///< steps between updates (Delta T); 0: one at the end of every epoch
  double end = 0.75;        ///< no update from here on, as a fraction of training (T_end)
  double fraction = 0.3;    ///< of the kept weights, to be moved (alpha, zeta)
  MovedDecay decay = MovedDecay::Cosine;  ///< of the moved fraction
  double least = 0.0;                     ///< where a cosine ends
  bool at_first_step = true;              ///< whether step 0 is a moment too
  /// Fractions of training from each of which on updates are twice as far apart.
  std::vector<double> rarer_from = {};
};
/// Weights change places at t = 0, dt, 2 dt, .. < T_end, and the sparsity stays. Source: Evci et
/// al., arXiv 1911.11134, section 3; Mocanu et al., arXiv 1707.04780.
std::unique_ptr<Schedule> dynamic_schedule(const DynamicOptions& options);

/// Which side of the asked sparsity mutations are on.
enum class MemoryBound : uint8_t {
  Hard,  ///< first more goes than is asked for, then as much grows
  Soft   ///< as much goes as is asked for, then more grows, until the next update
};
/// Settings of mutations.
struct MutationOptions {
  int64_t frequency = 0;      ///< steps between them; 0: five epochs
  double fraction = 0.2;      ///< of the asked number of weights, mutated in the first stage
  double half_from = 0.5625;  ///< fraction of training from which on it is half of that
  double end = 0.75;          ///< no mutation from here on, as a fraction of training
  MemoryBound bound = MemoryBound::Hard;  ///< on what there is between updates
};
/// Weights die and others grow, fewer in a second stage; with the first step of the third the
/// sparsity is the final one. Source: Yuan et al., arXiv 2110.14032, and its published code.
std::unique_ptr<Schedule> mutation_schedule(const MutationOptions& options);

/// Settings of rounds between two sparsities, with fractions of training.
struct BetweenOptions {
  double begin = 0.0;               ///< the first comes a round later
  double end = 0.5;                 ///< the last
  int64_t rounds = 1;               ///< how many
  Sparsity from = Sparsity(0.0);    ///< that the network has
  std::optional<Sparsity> to = {};  ///< of the last; nothing: the final one
};
/// `rounds` updates from one sparsity to another, up or down, by the same number of weights and the
/// same number of steps each.
std::unique_ptr<Schedule> between_schedule(const BetweenOptions& options);

/// The moments of `moves`, each at the sparsity that `pruning` has reached by then; those before
/// the first of `pruning` are left out. For methods that move weights while another event prunes.
std::unique_ptr<Schedule> moves_while_pruning(std::unique_ptr<Schedule> moves,
                                              std::unique_ptr<Schedule> pruning);

}  // namespace espalier::prune
