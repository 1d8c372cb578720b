// SPDX-License-Identifier: Apache-2.0
/// Score: how much each weight matters. A score looks at the model and says numbers; it removes
/// nothing.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <espalier/nn/module/module.h>
#include <espalier/prune/ground/as_double.h>
#include <espalier/prune/ground/inputs.h>
#include <espalier/prune/ground/sparsity.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {

class InputMoments;

/// Masks by the full name of the parameter.
using MasksByName = std::map<std::string, Tensor>;

/// Which mask update scores are for.
struct ScoredUpdate {
  int64_t number = 0;  ///< of the timeline's, rounds without training between them counted singly
  /// The masks of the round before, when all weights are candidates in each of several rounds
  /// without training between them: the network then has no masks, and the values of before the
  /// first round. Null: its own masks are those that count.
  const MasksByName* masks = nullptr;
};

/// What a score may look at.
struct ScoreContext {
  nn::Module& model;                            ///< as it is now; not to be changed
  std::span<const nn::NamedParameter> weights;  ///< that are scored
  const PruneInputs& inputs;                    ///< data, loss and seed
  Rng& rng;                                     ///< of this mask update
  /// Of the update's report, for what a user must know; null: nobody reads them.
  std::vector<std::string>* notes = nullptr;
  /// The units over which the weights' scores will be summed; null: none, weights stand alone.
  const std::span<const Site>* sites = nullptr;
  ScoredUpdate update = {};  ///< that is being made
};

/// What a score needs besides the weights.
enum class ScoreNeeds : uint8_t {
  Weights,     ///< nothing: data-free
  Input,       ///< the shape of a sample (a forward pass on made-up data)
  Gradients,   ///< batches with labels, and the loss
  Activations  ///< batches without labels
};

/// Which end of the paper's score stays.
enum class Keep : uint8_t { Largest, Smallest };

/// Scores weights.
class Score {
 public:
  virtual ~Score() = default;
  /// What it reads besides the weights.
  virtual ScoreNeeds needs() const { return ScoreNeeds::Weights; }
  /// Which end stays.
  virtual Keep keep() const { return Keep::Largest; }
  /// The survey's rule for structured forms of weight scores is the sum.
  virtual Reduce reduce() const { return Reduce::Sum; }
  /// One float64 tensor per weight, in its shape, in the paper's convention. Entries of removed
  /// weights are not read. May change nothing in the model.
  virtual std::vector<Tensor> compute(const ScoreContext& context) = 0;
  /// One score per unit of every site, in the same convention. Scores of units that are no
  /// reduction over their weights (a norm, a gate, a cost) say so here. Sums that are zero for
  /// every unit of a site, up to rounding, are noted: their order says nothing.
  virtual std::vector<std::vector<double>> score_units(const ScoreContext& context,
                                                       std::span<const Site> sites);
  /// Called after every backward pass of training, for scores that accumulate.
  virtual void observe(nn::TrainState&) {}
  /// What accumulated, for checkpoints.
  virtual std::map<std::string, Tensor> state() const { return {}; }
  /// Takes over what `state()` gave.
  virtual void load_state(const std::map<std::string, Tensor>&) {}
};

/// Uniform random numbers. (random.cpp)
std::unique_ptr<Score> random_score();
/// The same, but one weight of each output and one of each input of a layer, drawn at random, come
/// before all others, so that a sparse layer leaves no neuron without one of either; and behind all
/// others come those of the neurons between linear layers that are not among the first `neurons` (a
/// fraction, rounded up) of their layer. (spanning.cpp)
std::unique_ptr<Score> spanning_score(double neurons = 1.0);
/// |w| of what the masks of `stays` keep, 0 of the rest: for an update whose choice was made
/// before. Weights without a mask there stay. (settled.cpp)
std::unique_ptr<Score> settled_score(std::shared_ptr<const MasksByName> stays);
/// |w|. (magnitude.cpp)
std::unique_ptr<Score> magnitude_score();
/// 1 for a weight that is not zero, else 0; of units the mean: the share of its weights that a unit
/// still has. (kept_share.cpp)
std::unique_ptr<Score> kept_share_score();
/// w^2; of a filter ||F||_2^2. (square.cpp)
std::unique_ptr<Score> square_score();
/// ||F||_2 of every filter, in all of its entries. (filter_norm.cpp)
std::unique_ptr<Score> filter_norm_score();
/// The sum of a filter's distances to the other filters of its layer, in all of its entries; the
/// fraction `norm_sparsity` of the filters with the least norm come before all others, and are left
/// out of the distances. (fpgm.cpp)
std::unique_ptr<Score> fpgm_score(Sparsity norm_sparsity = Sparsity(0.0));
/// Nearness to zero among the layer's weights of the same sign, as SET drops. (sign_quantile.cpp)
std::unique_ptr<Score> sign_quantile_score();

/// 0 for a weight whose sign is not the one it had at the last update, else 1; a weight that was
/// zero there has no sign yet. (sign_flip.cpp)
std::unique_ptr<Score> sign_flip_score();

/// |w| for weights that are at least as large as a threshold H, else the negative number |w| - H.
/// At the end of an update H doubles if fewer than 0.9 of the wanted number of living weights were
/// below it, and halves if more than 1.1; wanted is the fraction `pruned` of the living. Source:
/// Mostafa, Wang, arXiv 1902.05967. (adaptive_threshold.cpp)
std::unique_ptr<Score> adaptive_threshold_score(double pruned, double first_threshold);

/// |w| in standard deviations of the weights that its layer still has; of units the mean.
/// (deviation.cpp)
std::unique_ptr<Score> deviation_score();

/// w^2 over the sum of the w^2 of the same layer that are at least as large: 1 for the layer's
/// largest. (lamp.cpp)
std::unique_ptr<Score> lamp_score();

/// Of channels: ||filters that make one|| * ||weights that read it||, zero when either is.
/// (channel_group_norm.cpp)
std::unique_ptr<Score> channel_group_norm_score();

/// Of channels: the variance of what the one layer that reads a channel gets from it, var(x_j)
/// ||W_:j||^2 summed over the columns j that belong to the channel, in standard deviations from the
/// mean of its site. It finds `moments` of these layers' inputs, for the repair of the same update
/// (`mean_compensation`). Throws NotImplemented for a site that not exactly one layer reads.
/// (fluctuation.cpp)
std::unique_ptr<Score> fluctuation_score(std::shared_ptr<InputMoments> moments);

/// |w| times the norm of the input that it is multiplied with, over `batches` batches. (wanda.cpp)
std::unique_ptr<Score> wanda_score(int64_t batches);

/// A number per filter spread over a weight (O,..): every entry of a filter holds the filter's.
Tensor spread_over_filters(std::span<const double> filters, const Shape& weight);
/// ||F||_2 of every filter of a weight (O,..), float64.
std::vector<double> filter_norms(const Tensor& weight);

}  // namespace espalier::prune
