// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/introspect/samples.h>
#include <espalier/prune/actions/gate.h>

#include <algorithm>

namespace espalier::prune {
namespace {

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

  std::vector<std::string> attach(const Subject& subject) override {
    const std::vector<nn::PlacedGate> present = nn::placed_gates(subject.model);
    for (const nn::PlacedGate& one : present) check_own(one);
    if (!present.empty()) return {"goes on with the gates that the network has"};
    std::vector<std::string> notes;
    int64_t number = 0;
    for (GatePlace& place : places_of(gates_.grain, subject)) {
      if (is_excluded(place.name, subject.settings)) continue;
      place.number = number;
      place.seed = subject.inputs.seed;
      const std::string refusal = add(place);
      if (refusal.empty()) ++number;
      if (!refusal.empty()) notes.push_back(cat(place.name, " has no gate: ", refusal));
    }
    const bool blocks = gates_.grain == GateGrain::Blocks;
    ESPALIER_CHECK(number > 0,
                   ValueError,
                   "prune: no ",
                   blocks ? "block" : "layer",
                   " can have a gate",
                   !notes.empty() ? ". " + notes.front()
                   : blocks       ? "; expected residual blocks behind the first"
                                  : "; expected convolutions behind the first");
    return notes;
  }

  void enter(const Subject&, nn::TrainState& state) override { set(state); }
  void before_step(const Subject&, nn::TrainState& state) override { set(state); }
  void leave(const Subject&, nn::TrainState& state) override { set(state); }

  Variable penalty(const Subject&, nn::TrainState& state) override {
    std::vector<RunningGate<nn::Decision>> running;
    for (const nn::PlacedGate& one : own_gates(state.model)) {
      running.push_back({one.decision, one.gate->take_decided()});
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

  void set(const nn::TrainState& state) const {
    for (const nn::PlacedGate& one : own_gates(state.model)) {
      if (gates_.set) gates_.set(*one.decision, state);
    }
  }

  detail::AnyGates gates_;
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
