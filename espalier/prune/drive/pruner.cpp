// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/drive/pruner.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <espalier/autograd/ops.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

/// The state of an event in a saved one: `event.2.`.
std::string prefix_of(size_t event) {
  return cat("event.", event, ".");
}

bool due(double fraction, const nn::TrainState& state) {
  return state.step >= guarded_floor(fraction * static_cast<double>(state.total_steps));
}

/// How many moments from `first` on are one change of masks.
size_t rounds_from(const std::vector<Moment>& moments, size_t first) {
  size_t end = first + 1;
  while (end < moments.size() && moments[end].step == moments[first].step &&
         moments[end].moved == 0.0) {
    ++end;
  }
  return end - first;
}

}  // namespace

Pruner::Pruner(std::string method,
               Timeline timeline,
               LayerPatterns pattern,
               PruneSettings settings,
               PruneInputs inputs)
    : method_(std::move(method)),
      timeline_(std::move(timeline)),
      pattern_(std::move(pattern)),
      settings_(std::move(settings)),
      inputs_(std::move(inputs)),
      progress_(timeline_.events.size()) {
  check_sparsity(pattern_, settings_.final());
  for (const Event& event : timeline_.events) {
    for (const Pattern* pattern : pattern_.all()) {
      const std::string refusal = event.action->refusal(*pattern);
      ESPALIER_CHECK(refusal.empty(), ValueError, "prune ", method_, ": ", refusal);
    }
  }
  if (!settings_.target.empty()) {
    const std::string why = target_refusal(timeline_, parse_target(settings_.target));
    ESPALIER_CHECK(why.empty(), NotImplemented, "prune ", method_, ": ", why);
  }
  const auto refused = timeline_.refused.find(settings_.ablation);
  ESPALIER_CHECK(refused == timeline_.refused.end(),
                 NotImplemented,
                 "prune ",
                 method_,
                 ": has no such ablation: ",
                 refused == timeline_.refused.end() ? "" : refused->second);
  ESPALIER_CHECK(settings_.ablation != Ablation::Reinit || inputs_.fresh_model,
                 ValueError,
                 "prune: ablation reinit needs PruneInputs::fresh_model");
}

Pruner::~Pruner() = default;

std::vector<std::string> Pruner::attach(nn::Module& model) {
  std::vector<std::string> notes;
  const Subject subject{model, nullptr, pattern_, settings_, inputs_};
  for (size_t e = 0; e < timeline_.events.size(); ++e) {
    if (!is_first_of_action(e)) continue;
    for (std::string& note : timeline_.events[e].action->attach(subject)) {
      notes.push_back(std::move(note));
    }
  }
  return notes;
}

Subject Pruner::subject(nn::TrainState& state) {
  if (!inputs_of_training_ || loader_ != state.loader) {
    inputs_of_training_ = inputs_of_training(inputs_, state);
    loader_ = state.loader;
  }
  return {state.model, &state.optimizer, pattern_, settings_, *inputs_of_training_};
}

std::vector<Moment> Pruner::moments(const Event& event, const nn::TrainState& state) const {
  if (!event.moments) return {};
  return event.moments->moments(
      {.steps = state.total_steps, .steps_per_epoch = state.steps_per_epoch}, settings_.final());
}

int64_t Pruner::moments_left(const nn::TrainState& state) const {
  int64_t left = 0;
  for (size_t e = 0; e < timeline_.events.size(); ++e) {
    left += static_cast<int64_t>(moments(timeline_.events[e], state).size()) - progress_[e].done;
  }
  return left;
}

bool Pruner::lasts(size_t event) const {
  return progress_[event].entered && !progress_[event].left;
}

template <class Visit>
void Pruner::each_lasting(nn::TrainState& state, Visit visit) {
  for (size_t e = 0; e < timeline_.events.size(); ++e) {
    if (lasts(e)) visit(*timeline_.events[e].action, subject(state));
  }
}

void Pruner::begin_and_end(size_t event, nn::TrainState& state) {
  const Event& one = timeline_.events[event];
  if (one.moments) return;
  Progress& progress = progress_[event];
  if (!progress.entered && due(one.from, state)) {
    one.action->enter(subject(state), state);
    progress.entered = true;
  }
  const bool over = one.until < 1.0 ? due(one.until, state) : false;
  if (lasts(event) && over) {
    one.action->leave(subject(state), state);
    progress.left = true;
  }
}

void Pruner::run_due_moments(size_t event, nn::TrainState& state, bool at_end_of_epoch) {
  const Event& one = timeline_.events[event];
  const std::vector<Moment> planned = moments(one, state);
  while (progress_[event].done < static_cast<int64_t>(planned.size())) {
    const auto first = static_cast<size_t>(progress_[event].done);
    const Moment& moment = planned[first];
    if (moment.step > state.step || one.action->needs_gradients(moment)) return;
    if (at_end_of_epoch && !moment.ends_epoch) return;
    run(event, state, rounds_from(planned, first));
  }
}

void Pruner::run_due(nn::TrainState& state, bool at_end_of_epoch) {
  for (size_t e = 0; e < timeline_.events.size(); ++e) {
    if (!at_end_of_epoch) begin_and_end(e, state);
    if (!timeline_.recovery) run_due_moments(e, state, at_end_of_epoch);
  }
}

void Pruner::run(size_t event, nn::TrainState& state, size_t count) {
  const Event& one = timeline_.events[event];
  const std::vector<Moment> planned = moments(one, state);
  const std::span<const Moment> rounds(planned.data() + progress_[event].done, count);
  const bool last = moments_left(state) == static_cast<int64_t>(count);
  // The control of a ticket is made by the recovery, after the round.
  const bool ends = last && !timeline_.recovery;
  UpdateReport report =
      one.action->update(subject(state), rounds, {.number = next_update_, .last = ends});
  progress_[event].done += static_cast<int64_t>(count);
  next_update_ += static_cast<int64_t>(count);
  record(std::move(report), last);
}

void Pruner::record(UpdateReport report, bool last) {
  constexpr double kWorthTelling = 0.01;
  const double missing = std::abs(report.reached.value() - report.target.value());
  if (last && report.target_of != SparsityOf::Nothing && missing > kWorthTelling) {
    report.notes.push_back(
        fmt::format("asked for {} {:.4f}{}, reached {:.4f}",
                    report.budget.empty() ? "sparsity" : "a saving of " + report.budget,
                    report.target.value(),
                    report.target_of == SparsityOf::Channels ? " of the channels" : "",
                    report.reached.value()));
  }
  updates_.push_back(std::move(report));
  if (on_update) on_update(updates_.back());
}

UpdateReport Pruner::prune(nn::Module& model,
                           nn::Optimizer* optimizer,
                           Sparsity target,
                           int64_t step) {
  const Moment now = {.step = step, .sparsity = target};
  check_layers(model);
  const Subject subject{model, optimizer, pattern_, settings_, inputs_};
  // The first event chooses what a later one moves.
  const Event* next = nullptr;
  for (const Event& event : timeline_.events) {
    if (event.moments && (next == nullptr || next_update_ > 0)) next = &event;
  }
  ESPALIER_CHECK(next != nullptr, NotImplemented, "prune ", method_, ": makes no mask update");
  return next->action->update(subject, {&now, 1}, {.number = next_update_, .last = true});
}

void Pruner::check_layers(nn::Module& model) const {
  if (pattern_.exceptions().empty()) return;
  std::vector<std::string> names;
  for (const nn::NamedParameter& weight : prunable_weights(model, settings_.exclude)) {
    names.push_back(weight.name);
  }
  check_layer_names(pattern_.exceptions(), names, "layer patterns");
}

void Pruner::before_training(nn::TrainState& state) {
  check_layers(state.model);
  bool looked = false;
  for (const Event& event : timeline_.events) {
    // A mask update at the first step finds out for itself.
    const auto planned = moments(event, state);
    const bool later = !planned.empty() && planned.back().step > state.step;
    if (!event.moments || (later && !looked)) event.action->check(subject(state));
    looked = looked || later;
  }
  run_due(state, false);
}

void Pruner::before_step(nn::TrainState& state) {
  run_due(state, false);
  request_gradients(state);
  if (timeline_.recovery) timeline_.recovery->before_step(state);
  each_lasting(state, [&](Action& action, const Subject& of) { action.before_step(of, state); });
}

nn::Objective* Pruner::objective(nn::TrainState& state) {
  nn::Objective* own = nullptr;
  each_lasting(state, [&](Action& action, const Subject& of) {
    if (own == nullptr) own = action.objective(of, state);
  });
  return own;
}

Variable Pruner::penalty(nn::TrainState& state) {
  Variable total;
  each_lasting(state, [&](Action& action, const Subject& of) {
    const Variable one = action.penalty(of, state);
    if (one.defined()) total = total.defined() ? total + one : one;
  });
  return total;
}

void Pruner::request_gradients(nn::TrainState& state) {
  if (timeline_.recovery) return;
  updates_wait_ = false;
  bool observed = false;
  for (size_t e = 0; e < timeline_.events.size(); ++e) {
    const Action& action = *timeline_.events[e].action;
    observed = observed || action.observes_dense_gradients();
    const std::vector<Moment> planned = moments(timeline_.events[e], state);
    const auto next = static_cast<size_t>(progress_[e].done);
    updates_wait_ = updates_wait_ || (next < planned.size() && planned[next].step <= state.step &&
                                      action.needs_gradients(planned[next]));
  }
  if (!updates_wait_ && !observed) return;
  for (const nn::NamedParameter& weight : prunable_weights(state.model, settings_.exclude)) {
    requested_.emplace_back(weight.parameter, weight.parameter->grad_request);
    weight.parameter->grad_request = sparse::GradRequest::Dense;
  }
}

void Pruner::after_backward(nn::TrainState& state) {
  for (const Event& event : timeline_.events) event.action->observe(state);
  each_lasting(state, [&](Action& action, const Subject& of) { action.after_backward(of, state); });
  if (requested_.empty()) return;
  for (const auto& [parameter, request] : requested_) {
    parameter->grad_request = request;
    if (!updates_wait_) parameter->apply_mask();  // what was observed is not trained
  }
  requested_.clear();
  if (!updates_wait_) return;
  for (size_t e = 0; e < timeline_.events.size(); ++e) {
    const std::vector<Moment> planned = moments(timeline_.events[e], state);
    const auto next = static_cast<size_t>(progress_[e].done);
    if (next < planned.size() && planned[next].step <= state.step) run(e, state, 1);
  }
  state.model.zero_grad();  // the optimizer leaves parameters without gradient alone
}

void Pruner::after_step(nn::TrainState& state) {
  each_lasting(state, [&](Action& action, const Subject& of) { action.after_step(of, state); });
}

void Pruner::end_of_epoch(nn::TrainState& state) {
  run_due(state, true);
}

void Pruner::end_of_training(nn::TrainState& state) {
  for (size_t e = 0; e < timeline_.events.size(); ++e) {
    begin_and_end(e, state);
    if (lasts(e)) {
      timeline_.events[e].action->leave(subject(state), state);
      progress_[e].left = true;
    }
    if (!timeline_.recovery) run_due_moments(e, state, false);
  }
}

std::optional<int64_t> Pruner::rewind(nn::TrainState& state) {
  if (!timeline_.recovery) return std::nullopt;
  for (size_t e = 0; e < timeline_.events.size(); ++e) {
    const std::vector<Moment> planned = moments(timeline_.events[e], state);
    if (progress_[e].done >= static_cast<int64_t>(planned.size())) continue;
    const bool last = moments_left(state) == 1;
    run(e, state, 1);
    const Subject of = subject(state);
    const int64_t step = timeline_.recovery->start_round(state, of.inputs, next_update_);
    // The control of a ticket: its last training, from other weights.
    if (last && settings_.ablation == Ablation::Reinit) set_fresh_values(state.model, of.inputs, 1);
    return step;
  }
  return std::nullopt;
}

int64_t Pruner::rounds(int64_t total_steps) const {
  int64_t rounds = 0;
  for (const Event& event : timeline_.events) {
    if (!event.moments) continue;
    rounds += static_cast<int64_t>(
        event.moments->moments({.steps = total_steps}, settings_.final()).size());
  }
  return rounds;
}

int64_t Pruner::repeated_steps(int64_t total_steps) const {
  if (!timeline_.recovery) return 0;
  return rounds(total_steps) * (total_steps - timeline_.recovery->first_step(total_steps));
}

int64_t Pruner::repeated_epochs(int64_t total_steps, int64_t steps_per_epoch) const {
  if (!timeline_.recovery || steps_per_epoch == 0) return 0;
  const int64_t steps = total_steps - timeline_.recovery->first_step(total_steps);
  return rounds(total_steps) * ((steps + steps_per_epoch - 1) / steps_per_epoch);
}

bool Pruner::is_first_of_action(size_t event) const {
  const auto first = std::ranges::find(timeline_.events,
                                       timeline_.events[event].action,
                                       [](const Event& one) { return one.action; });
  return first - timeline_.events.begin() == static_cast<std::ptrdiff_t>(event);
}

std::map<std::string, Tensor> Pruner::state() const {
  std::vector<int64_t> progress = {next_update_};
  std::map<std::string, Tensor> state;
  for (size_t e = 0; e < progress_.size(); ++e) {
    const Progress& one = progress_[e];
    progress.insert(progress.end(), {one.done, one.entered ? 1 : 0, one.left ? 1 : 0});
    if (!is_first_of_action(e)) continue;
    for (const auto& [name, tensor] : timeline_.events[e].action->state()) {
      state[prefix_of(e) + name] = tensor;
    }
  }
  state["progress"] = Tensor::from<int64_t>({static_cast<int64_t>(progress.size())}, progress);
  if (timeline_.recovery) {
    for (const auto& [name, tensor] : timeline_.recovery->state()) {
      state["recovery." + name] = tensor;
    }
  }
  return state;
}

void Pruner::load_state(const std::map<std::string, Tensor>& state) {
  const auto saved = state.find("progress");
  const auto size = static_cast<int64_t>(1 + 3 * progress_.size());
  ESPALIER_CHECK(saved != state.end() && saved->second.dtype() == DType::I64 &&
                     saved->second.shape() == Shape{size},
                 ValueError,
                 "prune ",
                 method_,
                 ": the saved state has no 'progress' of ",
                 size,
                 " numbers; was it saved by another method, or by another version?");
  const std::vector<int64_t> progress = saved->second.to_vector<int64_t>();
  next_update_ = progress[0];
  const auto below = [&](const std::string& prefix) {
    std::map<std::string, Tensor> own;
    for (const auto& [name, tensor] : state) {
      if (name.starts_with(prefix)) own[name.substr(prefix.size())] = tensor;
    }
    return own;
  };
  for (size_t e = 0; e < progress_.size(); ++e) {
    progress_[e] = {progress[1 + 3 * e], progress[2 + 3 * e] != 0, progress[3 + 3 * e] != 0};
    if (is_first_of_action(e)) timeline_.events[e].action->load_state(below(prefix_of(e)));
  }
  if (timeline_.recovery) timeline_.recovery->load_state(below("recovery."));
}

}  // namespace espalier::prune
