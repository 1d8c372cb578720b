// SPDX-License-Identifier: Apache-2.0
/// Actions beside the mask update (update/update.h): the way back to a dense network, and those
/// that last: penalties, noise, shared weights.
#pragma once

#include <functional>
#include <memory>

#include <espalier/data/views.h>
#include <espalier/nn/train/distillation.h>
#include <espalier/prune/budgets/budget.h>
#include <espalier/prune/scores/score.h>
#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

/// Changes weights once, before the first step of its event; masks stay, and the optimizer starts
/// afresh: for initial weights that a method wants, or new ones for what it has left.
/// (set_weights.cpp)
std::shared_ptr<Action> set_weights(std::function<void(const Subject&)> set);

/// For rounds of training that start at step 0: before the first step of each but the first, what
/// stays of every prunable weight is plus or minus the standard deviation that its layer had before
/// the first. (constant_signs.cpp)
std::shared_ptr<Action> constant_signs();

/// Gives all parameters and buffers new values: those of `PruneInputs::fresh_model`, or else the
/// initial ones of each layer. (set_weights.cpp)
void draw_afresh(const Subject& subject);

/// Sets all prunable weights to orthogonal ones (`nn::init::orthogonal_convolution`), and the
/// biases of their layers to zero. (set_weights.cpp)
void make_orthogonal(const Subject& subject);

/// When its event begins, channels whose filters have lost all of their weights lose their biases
/// and what batch norm makes of them, so that they are zero for any input and `shrink` cuts them.
/// (silence_empty_filters.cpp)
std::shared_ptr<Action> silence_empty_filters();

/// What becomes of the optimizer's state when all weights live again.
enum class StateOfLiving : uint8_t {
  Kept,   ///< of those that lived; the others start afresh
  Afresh  ///< all start afresh
};
/// At its moments all prunable weights live again: those that were gone start from zero. Not for
/// patterns that remove more than weights. (release_masks.cpp)
std::shared_ptr<Action> release_masks(StateOfLiving state);

/// While its event lasts the network learns from the answers that it gave when the event began, as
/// from a teacher (nn/train/distillation.h); at weight 1 no label is looked at. The teacher is a
/// copy, saved with the run. (own_answers.cpp)
std::shared_ptr<Action> learn_own_answers(const nn::DistillationOptions& options);

/// Settings of learning by two views.
struct TwoViewOptions {
  double temperature = 0.5;      ///< tau of the loss (nn/train/contrastive.h)
  int64_t width = 128;           ///< of what the head gives
  data::ViewOptions views = {};  ///< how far views go
};
/// While its event lasts the network learns to tell the two views of an image from those of others,
/// by what a head in the place of its classifier (nn/forms/projection.h) says; no label is looked
/// at. The head goes when the event ends, and the classifier is what it was. Views are a function
/// of seed and step: rounds that repeat steps see the same ones. (two_views.cpp)
std::vector<Event> learn_two_views(double from, double until, const TwoViewOptions& options);
/// The weight of the last linear layer, whose place the head takes. Throws ValueError when there is
/// none. (two_views.cpp)
std::string classifier_weight(nn::Module& model);

/// The same action under a pattern of its own, whatever the method's is: for methods in which one
/// thing is pruned on the way to another. Throws ValueError for a name that is no pattern.
/// (under_pattern.cpp)
std::shared_ptr<Action> under_pattern(const std::string& pattern, std::shared_ptr<Action> action);

/// An l1 penalty on the prunable weights that live: strength * sign(w), added to their gradients.
/// (l1_penalty.cpp)
std::shared_ptr<Action> l1_penalty(double strength);

/// What a decay that grows is on.
enum class Decayed : uint8_t {
  Removed,  ///< all that the update would remove
  Units,    ///< the scored weights of the units that it would remove
  All       ///< the scored weights of all units that may go
};
/// Settings of a decay that grows.
struct GrowingDecayOptions {
  double from = 0.0;      ///< fraction of training at which it begins
  double until = 1.0;     ///< fraction of training at which it has its full strength, and keeps it
  double strength = 1.0;  ///< lambda
  double power = 1.0;     ///< lambda_t = first + (strength - first) x^power, x the share of the way
  double first = 0.0;     ///< lambda at the beginning
  double others = 0.0;    ///< on the scored weights of `Units` that stay; below 0 they grow
  Decayed decayed = Decayed::Removed;  ///< what it is on
  /// Gets masks of what the update would remove, for a score of the same choice (`settled_score`).
  std::shared_ptr<MasksByName> chosen = {};
};
/// While its event lasts, lambda_t * w is added to the gradients of the weights that a mask update
/// to `sparsity` would remove, as it says when the event begins: `number` of the timeline, made on
/// a copy. The same update then finds them again if it chooses without looking at what training
/// does to the weights. Source: Bai, Wang, Tao, Li, Fu, arXiv 2203.04248; growing regularization
/// Wang, Qin, Zhang, Fu, arXiv 2012.09243. (grow_decay.cpp)
std::shared_ptr<Action> grow_decay(const GrowingDecayOptions& options,
                                   std::shared_ptr<Action> update,
                                   Sparsity sparsity,
                                   int64_t number = 0);

/// Settings of noise on weights. Temperatures are of the loss, as in the law
/// exp(-loss / temperature) that training then samples from.
struct NoiseOptions {
  double temperature = 1e-6;         ///< at the first step of training
  double final_temperature = 1e-16;  ///< at its end; falls by the same factor at every step
};
/// Adds normal noise of standard deviation sqrt(2 lr T) to the prunable weights that live, after
/// every step of the optimizer. Source: Bellec, Kappel, Maass, Legenstein, arXiv 1711.05136,
/// equation 3. (weight_noise.cpp)
std::shared_ptr<Action> weight_noise(const NoiseOptions& options);

/// An l1 penalty on batch norm's scales, added to their gradients. Scales that are still all 1
/// begin at `initial_scale`. Throws ValueError for a model in which no channel that may go has one.
/// Source: Liu et al., arXiv 1708.06519. (norm_scale_penalty.cpp)
std::shared_ptr<Action> norm_scale_penalty(double strength, double initial_scale);

/// Settings of gates on batch norm.
struct ScaleGateOptions {
  double strength = 0.5;  ///< lambda
  double share = 0.2;     ///< r, which the mean of all gates is drawn to
  double rate = 0.01;     ///< of the gates' Adam
};
/// While its event lasts nothing but gates is trained: one on every channel that may go, between
/// its batch norm and what follows, 1 at first and held in 0 .. 1, with the penalty lambda (mean g
/// - r)^2 over all of them. A gate is twice the scale: scales start at 0.5, shifts at 0. Throws
/// ValueError for a model in which no channel that may go has a scale. Source: Wang et al., arXiv
/// 1909.12579. (scale_gates.cpp)
std::shared_ptr<Action> scale_gates(const ScaleGateOptions& options);

/// Settings of the penalty on what channels cost.
struct ResourcePenaltyOptions {
  double strength = 1.0;                   ///< times the penalty in shares of the dense cost
  double threshold = 0.01;                 ///< a scale above it is alive
  BudgetKind resource = BudgetKind::Macs;  ///< what is counted: Macs or Params
};
/// An l1 penalty on batch norm's scales, each weighted with what its channel costs now: with the
/// living channels of the layers that make and read it (penalties/resource.h). Channels of one
/// group (residual sums, depthwise layers) are as large as their largest scale, and are alive if
/// any is; channels without batch norm, inputs and outputs of the network are always alive, and
/// free. Throws ValueError for a model in which no channel that may go has a scale. Source: Gordon
/// et al., arXiv 1711.06798. (resource_penalty.cpp)
std::shared_ptr<Action> resource_penalty(const ResourcePenaltyOptions& options);

/// How a penalty on groups acts.
enum class LassoStep : uint8_t {
  Subgradient,  ///< added to the gradient; weights below 1e-4 are cut after the step
  Proximal      ///< groups are shrunk after the step, to exactly zero
};
/// Settings of a group lasso on channels.
struct GroupLassoOptions {
  double filters = 3e-3;                    ///< strength on the filters that make a channel
  double channels = 3e-3;                   ///< on the inputs that read it
  LassoStep step = LassoStep::Subgradient;  ///< how it acts
};
/// A group lasso on the filters and the input channels of channels that can go. A subgradient's
/// strength l moves a norm by lr l / (1 - m) a step in the end, as momentum m carries it on; the
/// proximal step shrinks by as much. Source: Wen et al., arXiv 1608.03665. (group_lasso.cpp)
std::shared_ptr<Action> channel_group_lasso(const GroupLassoOptions& options);

/// Settings of the search for N of each layer.
struct NmSearchOptions {
  double decay = 0.1;       ///< lambda, of the weights that are still there
  int64_t every = 5;        ///< steps between penalties
  int64_t frequency = 100;  ///< steps between looks at the groups
  double vote = 0.75;       ///< share of a layer's groups that must agree
};
/// Finds N of every M for each layer (pattern `n:M`) until the asked share of all prunable weights
/// is gone, or the network costs what another target asks (all but latency). While its event lasts,
/// small weights are penalized by how much their layer computes and
/// how far it is from what ERK would give it, and N sinks where most groups have fewer than N
/// weights above their threshold of the beginning. At its moment, what is missing is made up for by
/// the same vote, and the report tells the patterns. Source: Sun et al., NeurIPS 2021,
/// DominoSearch. (n_m_search.cpp)
std::shared_ptr<Action> n_m_search(const NmSearchOptions& options);

/// Settings of the growth of neurons.
struct NeuronOptions {
  double fraction = 0.01;       ///< beta, of the bridges of a layer that a new neuron takes
  double birth_strength = 0.3;  ///< mean size of its weights, in means of its layers
};
/// At its moments every hidden layer of linear networks with a neuron that has no inputs or no
/// outputs any more gets one back, on the connections with the largest bridging gradients B: for
/// each of these, r sqrt|B| is added to the weight to the output and -r sqrt|B| sign(B) to that
/// from the input, r = +-1 at random; then both sides are scaled. Other layers are told in a note.
/// Source: Dai, Yin, Jha, arXiv 1711.02017, with the sign with which the loss falls.
/// (grow_neurons.cpp)
std::shared_ptr<Action> grow_neurons(const NeuronOptions& options);

/// Settings of weight sharing.
struct SharingOptions {
  int64_t conv_bits = 8;        ///< a convolution's weights have 2^bits values
  int64_t fc_bits = 5;          ///< a linear layer's weights have 2^bits values
  double centroid_rate = 0.01;  ///< factor of a centroid's gradient, which is the sum of many
};
/// Weights of equal cluster have one value, by k-means when the event begins; from then on only the
/// centroids train. Source: Han, Mao, Dally, arXiv 1510.00149. (share_weights.cpp)
std::shared_ptr<Action> share_weights(const SharingOptions& options);

}  // namespace espalier::prune
