// SPDX-License-Identifier: Apache-2.0
/// Training under forms (nn/forms): weights are multiplied as forms make them while the event
/// lasts, and are plain ones afterwards.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <espalier/nn/forms/slots.h>
#include <espalier/prune/scores/form_score.h>
#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

/// What a method tells of its forms. Empty functions do nothing.
struct FormsTraining {
  /// `kind()` of the forms: those of a model that are this action's.
  std::string kind;
  /// Puts forms on a model's weights (`nn::put_form`).
  std::function<void(const Subject&)> put_on;
  /// What happens to masks when the forms are folded: those of the forms, or those that weights
  /// had, for an update to choose afterwards.
  nn::FoldedMask mask = nn::FoldedMask::OfForm;
  /// The forms are not folded at the end: they are what the network multiplies with from then on.
  bool stays = false;
  /// Why `put_on` can't meet a target that is no sparsity; empty: it does, as one does that
  /// `divides`. Nothing: it has no part in how much goes.
  std::optional<std::string> no_target = {};
  /// The learning rate of an Adam that the forms' parameters have for themselves, constant;
  /// nothing: they are parameters of the training's optimizer.
  std::optional<double> own_rate = {};
  /// Weights under forms have no weight decay, because it is part of the penalty.
  bool decay_in_penalty = false;
  /// The forms' parameters are all that is trained.
  bool only_forms = false;
  /// `put_on` asks `kept_of_each` how much every weight keeps.
  bool divides = false;
  /// What a form adds to the loss.
  std::function<Variable(const nn::Form&, const nn::Parameter& weight, const nn::TrainState&)>
      penalty = {};
  /// Before every step.
  std::function<void(const nn::FormSite&, nn::TrainState&)> before_step = {};
  /// Between the backward pass and the optimizers.
  std::function<void(const nn::FormSite&, nn::TrainState&)> after_backward = {};
  /// After every step.
  std::function<void(const nn::FormSite&, nn::TrainState&)> after_step = {};
  /// How often mask entries changed since this was last asked, for reports.
  std::function<int64_t(nn::Form&, const nn::Parameter& weight)> take_changes = {};
  /// What `put_on` has to tell, with the first report.
  std::shared_ptr<const std::vector<std::string>> notes = {};
  /// Gets the forms when they are folded, for a score of what they learnt.
  std::shared_ptr<FormsByWeight> folded = {};
};

/// The action. At moments of an event it reports what the forms leave out; the last report of a
/// method whose masks are the forms' comes after the check for collapse (sites/collapse.h). What a
/// killed run needs are the network's own parameters and buffers, and the forms' Adam.
std::shared_ptr<Action> train_under_forms(FormsTraining forms);

/// Puts hard concrete gates (nn/forms/hard_concrete.h) on all units that may go: on weights, on
/// filters, or of channels on the weights that read them. Each is closed with probability
/// `drop_rate` at first.
void put_hard_concrete(const Subject& subject, double drop_rate);
/// N of losses that divide a price by the size of the training set. Throws ValueError where no
/// loader tells it.
double training_samples(const nn::TrainState& state);

}  // namespace espalier::prune
