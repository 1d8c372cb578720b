// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/introspect/samples.h>
#include <espalier/prune/actions/gate.h>

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include <espalier/prune/actions/gate_share.h>
#include <espalier/prune/update/to_budget.h>

namespace espalier::prune {
namespace {

constexpr int kHalvings = 50;

/// As for parameters: the name, or a prefix of it up to a dot; a layer also by its weight.
bool is_excluded(const std::string& place, const PruneSettings& settings) {
  return std::ranges::any_of(settings.exclude, [&](const std::string& one) {
    return one == place || place.starts_with(one + ".") || one == place + ".weight";
  });
}

/// The places of a grain, in the order in which they run.
std::vector<GatePlace> places_of(GateGrain grain, const Subject& subject) {
  ESPALIER_CHECK(
      subject.inputs.input_shape.rank() == 3,
      ValueError,
      "prune: gates are for networks that are fed images, (C,H,W); a sample here has the "
      "shape ",
      subject.inputs.input_shape);
  const Variable example(nn::zero_samples(subject.model, subject.inputs.input_shape));
  std::vector<GatePlace> out;
  if (grain == GateGrain::Blocks) {
    for (const nn::BlockGateSite& site : nn::block_gate_sites(subject.model, example)) {
      out.push_back({.name = site.name, .block = site});
    }
    return out;
  }
  for (const nn::GateSite& site : nn::gate_sites(subject.model, example)) {
    out.push_back({.name = site.name, .convolution = site});
  }
  return out;
}

class TrainGates : public Action {
 public:
  explicit TrainGates(detail::AnyGates gates) : gates_(std::move(gates)) {}

  ActionFacts facts() const override {
    return {.needs_data = true, .needs_blocks = gates_.grain == GateGrain::Blocks};
  }

  std::optional<std::string> target_refusal(const Target& target) const override {
    if (target.kind != BudgetKind::Macs) {
      return "all weights stay, and how long an image takes is its own matter: images use parts of "
             "the network. Give macs, which an image is to compute on average";
    }
    if (gates_.no_target.empty() && !gates_.computed) {
      return "how much gates open follows from no setting of it. Give a sparsity";
    }
    return gates_.no_target;
  }

  std::vector<std::string> attach(const Subject& subject) override {
    const std::vector<nn::PlacedGate> present = nn::placed_gates(subject.model);
    for (const nn::PlacedGate& one : present) check_own(one);
    if (!present.empty()) return {"goes on with the gates that the network has"};
    const Sparsity sparsity = sparsity_for(subject);
    std::vector<std::string> notes;
    const int64_t number = put_on(subject, sparsity, notes);
    const bool blocks = gates_.grain == GateGrain::Blocks;
    ESPALIER_CHECK(number > 0,
                   ValueError,
                   "prune: no ",
                   blocks ? "block" : "layer",
                   " can have a gate",
                   !notes.empty() ? ". " + notes.front()
                   : blocks       ? "; expected residual blocks behind the first"
                                  : "; expected convolutions behind the first");
    if (has_budget(subject)) {
      notes.push_back(
          fmt::format("gates are to leave out S = {:.4f} of what they may, at which "
                      "images are expected to need what the target asks",
                      sparsity.value()));
    }
    return notes;
  }

  void enter(const Subject& subject, nn::TrainState& state) override { set(subject, state); }
  void before_step(const Subject& subject, nn::TrainState& state) override { set(subject, state); }
  void leave(const Subject& subject, nn::TrainState& state) override { set(subject, state); }

  Variable penalty(const Subject& subject, nn::TrainState& state) override {
    const Sparsity sparsity = sparsity_for(subject);
    std::vector<RunningGate<nn::Decision>> running;
    for (const nn::PlacedGate& one : own_gates(state.model)) {
      running.push_back({one.decision, one.gate->take_decided(), sparsity});
    }
    Variable sum;
    const auto add = [&](const Variable& term) {
      if (term.defined()) sum = sum.defined() ? sum + term : term;
    };
    if (gates_.price) {
      for (const auto& one : running) add(gates_.price(one));
    }
    if (gates_.penalty) add(gates_.penalty(running, state));
    return sum;
  }

 private:
  /// Puts gates on all places that can have one, and tells of the others. Returns how many.
  int64_t put_on(const Subject& subject, Sparsity sparsity, std::vector<std::string>& notes) const {
    int64_t number = 0;
    for (GatePlace& place : places_of(gates_.grain, subject)) {
      if (is_excluded(place.name, subject.settings)) continue;
      place.number = number;
      place.seed = subject.inputs.seed;
      place.sparsity = sparsity;
      const std::string refusal = add(place);
      if (refusal.empty()) ++number;
      if (!refusal.empty()) notes.push_back(cat(place.name, " has no gate: ", refusal));
    }
    return number;
  }

  Sparsity sparsity_for(const Subject& subject) {
    if (!has_budget(subject)) return subject.settings.final();
    if (!found_) found_ = sparsity_to_target(subject);
    return *found_;
  }

  /// The lowest at which what is expected to be computed is as little as the target asks.
  Sparsity sparsity_to_target(const Subject& subject) const {
    const std::unique_ptr<nn::Module> gated = subject.model.clone();
    if (nn::placed_gates(*gated).empty()) {
      std::vector<std::string> unread;
      const Subject of_copy{*gated, nullptr, subject.pattern, subject.settings, subject.inputs};
      put_on(of_copy, subject.settings.final(), unread);
    }
    std::vector<std::string> names;
    for (const nn::PlacedGate& one : nn::placed_gates(*gated)) names.push_back(one.name);
    if (names.empty()) return subject.settings.final();  // which attach() refuses
    const GatedCost cost(subject.model, subject.inputs.input_shape, gates_.grain, names);
    const std::unique_ptr<nn::Module> plain = without_forms(subject.model);
    std::vector<GatePlace> places = places_of(
        gates_.grain, {*plain, nullptr, subject.pattern, subject.settings, subject.inputs});
    std::erase_if(places, [&](const GatePlace& place) {
      return std::ranges::find(names, place.name) == names.end();
    });
    const auto share = [&](double sparsity) {
      std::map<std::string, double> computed;
      for (const GatePlace& place : places) {
        computed[place.name] = gates_.computed(place, Sparsity(sparsity));
      }
      return cost.share(computed);
    };
    const double asked = 1.0 - subject.settings.final().value();
    if (share(0.0) <= asked) return Sparsity(0.0);
    ESPALIER_CHECK(share(1.0) < asked,
                   ValueError,
                   "prune: macs can't be brought to ",
                   asked,
                   " of the dense network's on average, only to ",
                   share(1.0),
                   ": the rest is of layers without gates, and of what gates always open");
    double low = 0.0;
    double high = 1.0;
    for (int i = 0; i < kHalvings; ++i) {
      const double middle = 0.5 * (low + high);
      (share(middle) <= asked ? high : low) = middle;
    }
    return Sparsity(high);
  }

  std::string add(const GatePlace& place) const {
    const nn::Conv2d* layer = place.convolution.layer;
    if (layer != nullptr && layer->options().groups != 1) return "its channels are in groups";
    return gates_.add(place);
  }

  void check_own(const nn::PlacedGate& one) const {
    ESPALIER_CHECK(gates_.is_own(*one.decision),
                   ValueError,
                   "prune: ",
                   one.name,
                   " has a gate of another method, ",
                   one.part->describe());
  }

  std::vector<nn::PlacedGate> own_gates(nn::Module& model) const {
    std::vector<nn::PlacedGate> out = nn::placed_gates(model);
    ESPALIER_CHECK(!out.empty(),
                   ValueError,
                   "prune: the network has no gates. Call Pruner::attach before its optimizer is "
                   "made");
    for (const nn::PlacedGate& one : out) check_own(one);
    return out;
  }

  void set(const Subject& subject, const nn::TrainState& state) {
    const Sparsity sparsity = sparsity_for(subject);
    for (const nn::PlacedGate& one : own_gates(state.model)) {
      if (gates_.set) gates_.set(*one.decision, state, sparsity);
    }
  }

  detail::AnyGates gates_;
  std::optional<Sparsity> found_;  // of a target
};

}  // namespace

Rng GatePlace::rng(std::string_view purpose) const {
  return Rng(seed, purpose).fork(static_cast<uint64_t>(number));
}

double done(const nn::TrainState& state, double until) {
  const double steps = until * static_cast<double>(state.total_steps);
  const auto step = static_cast<double>(state.step);
  return step >= steps ? 1.0 : step / steps;
}

std::shared_ptr<Action> detail::gate(AnyGates gates) {
  return std::make_shared<TrainGates>(std::move(gates));
}

}  // namespace espalier::prune
