// SPDX-License-Identifier: Apache-2.0
/// L0 regularization: a stochastic gate on every weight or channel, and a penalty on the
/// probability that it is open.
///
/// Source: Louizos, Welling, Kingma, "Learning sparse neural networks through L0 regularization",
/// arXiv 1712.01312. A channel's gate multiplies the weights that read it (as the published code
/// does for linear layers): it then stands behind batch norm, which would undo a gate on filters,
/// and can be folded into those weights exactly. Pattern `filter` is the published code's gate on
/// the filters of convolutions; with batch norm behind, only its price is left to tell filters
/// apart, so it is for networks without. Gates have an Adam of their own, faster than the paper's
/// 1e-3 because its trainings are a hundred times longer. Between steps the model holds test-time
/// gates folded in, so that it can be evaluated and saved at any moment; the weights under the
/// gates are the pruner's state. Their L2 penalty is the expected one, in place of the optimizer's
/// weight decay. Evaluation is of the newest weights: a moving average over them, as published,
/// needs more epochs than the trainings here have.
#include <cmath>

#include <espalier/core/parallel.h>
#include <espalier/nn/forms/hard_concrete.h>
#include <espalier/nn/train/adam.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

namespace hard_concrete = nn::hard_concrete;

constexpr int64_t kGrain = 4096;

enum class Select : uint8_t { Sparsity, Zeros };
struct L0 {
  double lambda = 0.1;
  double gate_decay = 5e-4;
  double drop_rate = 0.5;
  double gate_lr = 0.01;
  Select select = Select::Sparsity;
  std::string allocation = "global";
  double prune_at = 0.5;
};

/// Gates of one site's units.
struct Gates {
  Site site;
  nn::Parameter log_alpha;  // (units)
  std::vector<hard_concrete::Sample> samples;

  /// The weights that gates multiply: a single weight itself, or a channel's readers.
  bool gated(const SitePart& part) const {
    const bool channels = site.parts.size() > 1;
    return part.parameter->shape().rank() >= 2 &&
           (channels ? part.role == SliceRole::Consumer : part.scored);
  }
};

class L0Gates : public Action {
 public:
  explicit L0Gates(const L0& options) : options_(options) {}

  const std::vector<std::unique_ptr<Gates>>& gates() const { return gates_; }

  ActionFacts facts() const override { return {.needs_data = true}; }

  void enter(const Subject& subject, nn::TrainState&) override { attach_to(subject); }

  void before_step(const Subject& subject, nn::TrainState& state) override {
    attach_to(subject);
    const Rng of_step =
        Rng(subject.inputs.seed, "l0 gates").fork(static_cast<uint64_t>(state.step));
    for (size_t s = 0; s < gates_.size(); ++s) sample(*gates_[s], of_step.fork(s));
    write_weights(
        [](const Gates& gates, int64_t u) { return gates.samples[static_cast<size_t>(u)].z; });
  }

  void after_backward(const Subject&, nn::TrainState& state) override {
    for (const auto& gates : gates_) differentiate(*gates, samples_of(state));
    for (auto& [parameter, latent] : latent_) parameter->value.value().copy_(latent);
    optimizer_->step();
    for (const auto& gates : gates_) {
      float* a = gates->log_alpha.value.value().data<float>();
      for (int64_t u = 0; u < gates->site.units; ++u) {
        const auto most = static_cast<float>(hard_concrete::kMostLogAlpha);
        a[u] = std::clamp(a[u], -most, most);
      }
    }
  }

  void after_step(const Subject&, nn::TrainState&) override {
    for (auto& [parameter, latent] : latent_) latent.copy_(parameter->value.value());
    fold_expected_gates();
  }

  void leave(const Subject& subject, nn::TrainState&) override {
    attach_to(subject);
    fold_expected_gates();
    for (auto& [parameter, latent] : latent_) parameter->decays = true;
    latent_.clear();
    optimizer_.reset();
  }

  std::map<std::string, Tensor> state() const override {
    if (!optimizer_) return loaded_;
    std::map<std::string, Tensor> state;
    for (const auto& gates : gates_) {
      state["log_alpha." + gates->site.name] = gates->log_alpha.value.value();
    }
    for (const auto& [parameter, latent] : latent_) {
      state["weight." + names_.at(parameter)] = latent;
    }
    for (const auto& [name, tensor] : optimizer_->state_dict()) state["adam." + name] = tensor;
    return state;
  }

  void load_state(const std::map<std::string, Tensor>& state) override {
    // Waits for the model, which `load_state` does not know.
    gates_.clear();
    latent_.clear();
    optimizer_.reset();
    loaded_.clear();
    for (const auto& [name, tensor] : state) loaded_[name] = tensor.clone();
  }

 private:
  /// Finds the model's sites and makes their gates, or takes over those that were saved.
  void attach_to(const Subject& subject) {
    if (optimizer_ || !gates_.empty()) return;
    nn::ParameterGroup group;
    const MaskUpdate places(subject.model, subject.pattern, subject.settings, subject.inputs, {});
    for (const Site& site : places.sites()) {
      auto gates = std::make_unique<Gates>(Gates{site, {}, {}});
      Tensor start = Tensor::empty({site.units});
      Rng rng = Rng(subject.inputs.seed, "l0 start").fork(gates_.size());
      fill_normal_(start, rng, hard_concrete::initial_log_alpha(options_.drop_rate), 0.01);
      gates->log_alpha = nn::Parameter(start);
      gates->samples.resize(static_cast<size_t>(site.units));
      group.parameters.push_back({site.name, &gates->log_alpha});
      for (const SitePart& part : site.parts) {
        if (!gates->gated(part)) continue;
        ESPALIER_CHECK(part.parameter->value.dtype() == DType::F32,
                       NotImplemented,
                       "prune l0: ",
                       part.name,
                       " is not float32");
        names_[part.parameter] = part.name;
        part.parameter->decays = false;
        latent_.try_emplace(part.parameter, part.parameter->value.value().clone());
      }
      gates_.push_back(std::move(gates));
    }
    optimizer_ = std::make_unique<nn::Adam>(std::vector<nn::ParameterGroup>{group},
                                            nn::AdamOptions{.lr = options_.gate_lr});
    if (!loaded_.empty()) take_over();
  }

  void take_over() {
    std::map<std::string, Tensor> adam;
    for (const auto& [name, tensor] : loaded_) {
      if (name.starts_with("adam.")) adam[name.substr(5)] = tensor;
    }
    const auto saved = [&](const std::string& name, const Tensor& like) {
      const auto found = loaded_.find(name);
      ESPALIER_CHECK(found != loaded_.end() && found->second.shape() == like.shape(),
                     ValueError,
                     "prune l0: the saved state has no '",
                     name,
                     "' of shape ",
                     like.shape());
      return found->second;
    };
    for (const auto& gates : gates_) {
      Tensor& log_alpha = gates->log_alpha.value.value();
      log_alpha.copy_(saved("log_alpha." + gates->site.name, log_alpha));
    }
    for (auto& [parameter, latent] : latent_) {
      latent.copy_(saved("weight." + names_.at(parameter), latent));
    }
    optimizer_->load_state_dict(adam);
    loaded_.clear();
  }

  /// The same noise serves the forward and the backward pass.
  static void sample(Gates& gates, const Rng& rng) {
    const float* a = gates.log_alpha.value.value().data<float>();
    parallel_for(gates.site.units, kGrain, [&](int64_t begin, int64_t end) {
      Rng own = rng.fork(static_cast<uint64_t>(begin));
      for (int64_t u = begin; u < end; ++u) {
        const double noise = own.uniform(hard_concrete::kEpsilon, 1.0 - hard_concrete::kEpsilon);
        gates.samples[static_cast<size_t>(u)] =
            hard_concrete::sample(static_cast<double>(a[u]), noise);
      }
    });
  }

  /// The model's weights = weights under the gates * gate(site, unit).
  template <class Gate>
  void write_weights(const Gate& gate) {
    for (auto& [parameter, latent] : latent_) parameter->value.value().copy_(latent);
    for (const auto& gates : gates_) {
      for (const SitePart& part : gates->site.parts) {
        if (!gates->gated(part)) continue;
        float* w = part.parameter->value.value().data<float>();
        parallel_for(part.parameter->numel(), kGrain, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const int64_t unit = part.units.unit(i);
            if (unit >= 0)
              w[i] = static_cast<float>(static_cast<double>(w[i]) * gate(*gates, unit));
          }
        });
      }
    }
  }

  void fold_expected_gates() {
    write_weights([](const Gates& gates, int64_t u) {
      return hard_concrete::expected_gate(
          static_cast<double>(gates.log_alpha.value.value().data<float>()[u]));
    });
  }

  /// Turns dL/d(w z), which the backward pass left, into gradients of w and of log alpha, and adds
  /// those of sum over gates of P(z != 0) * (lambda / N * |g| + weight_decay / 2 * ||w_g||^2).
  void differentiate(Gates& gates, double samples) const {
    const auto units = static_cast<size_t>(gates.site.units);
    const float* a = gates.log_alpha.value.value().data<float>();
    std::vector<double> by_gate(units, 0.0);
    std::vector<double> cost(units, 0.0);
    const auto log_alpha = [&](size_t u) { return static_cast<double>(a[u]); };
    std::vector<double> open(units, 0.0);
    for (size_t u = 0; u < units; ++u) open[u] = hard_concrete::probability_open(log_alpha(u));
    for (const SitePart& part : gates.site.parts) {
      if (!gates.gated(part)) continue;
      const Variable& gradient = part.parameter->value.grad();
      if (!gradient.defined()) continue;
      const Tensor of_product = gradient.value().to(Layout::Nchw).contiguous();
      Tensor of_weight = of_product.clone();
      const float* g = of_product.data<float>();
      const float* w = latent_.at(part.parameter).data<float>();
      float* out = of_weight.data<float>();
      for (int64_t i = 0; i < part.parameter->numel(); ++i) {
        const int64_t unit = part.units.unit(i);
        if (unit < 0) continue;
        const auto u = static_cast<size_t>(unit);
        const auto weight = static_cast<double>(w[i]);
        const auto product = static_cast<double>(g[i]);
        by_gate[u] += product * weight;
        cost[u] += options_.lambda / samples + 0.5 * options_.gate_decay * weight * weight;
        out[i] = static_cast<float>(product * gates.samples[u].z +
                                    options_.gate_decay * open[u] * weight);
      }
      part.parameter->value.set_grad(Variable(of_weight));
    }
    Tensor of_alpha = Tensor::empty({gates.site.units});
    for (size_t u = 0; u < units; ++u) {
      of_alpha.data<float>()[u] =
          static_cast<float>(by_gate[u] * gates.samples[u].dz +
                             cost[u] * hard_concrete::probability_open_slope(log_alpha(u)));
    }
    gates.log_alpha.value.set_grad(Variable(of_alpha));
  }

  static double samples_of(const nn::TrainState& state) {
    ESPALIER_CHECK(state.loader != nullptr,
                   ValueError,
                   "prune l0: needs the loader of the training, for the size of its data set");
    return static_cast<double>(state.loader->dataset().size());
  }

  L0 options_;
  std::vector<std::unique_ptr<Gates>> gates_;
  std::map<nn::Parameter*, Tensor> latent_;  // the weights under the gates
  std::map<nn::Parameter*, std::string> names_;
  std::unique_ptr<nn::Adam> optimizer_;  // of the gates
  std::map<std::string, Tensor> loaded_;
};

/// log alpha as the score of the units that it gates.
class GateScore : public Score {
 public:
  explicit GateScore(std::shared_ptr<const L0Gates> gates) : gates_(std::move(gates)) {}
  std::vector<Tensor> compute(const ScoreContext&) override {
    throw NotImplemented("l0: gates belong to a training");
  }
  std::vector<std::vector<double>> score_units(const ScoreContext&,
                                               std::span<const Site>) override {
    std::vector<std::vector<double>> scores;
    for (const auto& one : gates_->gates()) {
      scores.push_back(one->log_alpha.value.value().to_vector<double>());
    }
    return scores;
  }

 private:
  std::shared_ptr<const L0Gates> gates_;
};

}  // namespace

Method l0() {
  return make_method<L0>(
      {.name = "l0",
       .title = "L0 regularization with hard concrete gates",
       .paper = "Louizos, Welling, Kingma, arXiv 1712.01312",
       .year = 2018,
       .when = When::During,
       .how = How::Learning,
       .idea = "Multiply every weight, or channel, by a random gate that is exactly 0 or 1 most of "
               "the time but has a gradient, and penalize the probability that it is open.",
       .formula = "z = clip(1.2 * sigmoid((log u - log(1-u) + log a) * 3/2) - 0.1, 0, 1); loss + "
                  "sum P(z != 0) (lambda/N |g| + decay/2 ||w_g||^2), P(z != 0) = sigmoid(log a + "
                  "1.5986), |g| the weights that the gate multiplies; score log a",
       .schedule = "gates until `prune-at`, one update there that folds the open gates into the "
                   "weights, then fine-tuning without gates",
       .differs = "a channel's gate multiplies the weights that read it, behind batch norm; gates "
                  "have an Adam of their own, faster than published, for trainings a hundred times "
                  "shorter; weights are not averaged over time for evaluation",
       .patterns = {"unstructured", "channel", "filter"}},
      {{&L0::lambda, "lambda", {0, 1e9}, "", "price of a weight, divided by N"},
       {&L0::gate_decay,
        "gate-decay",
        {0, 10},
        "",
        "expected L2 of weights under gates, in place of their weight decay"},
       {&L0::drop_rate, "drop-rate", {0.001, 0.999}, "", "share of gates closed at first"},
       {&L0::gate_lr, "gate-lr", {0, 10}, "", "of the gates' Adam"},
       {&L0::select,
        "select",
        {"sparsity", "zeros"},
        "remove the units with the lowest gates down to the sparsity, or exactly those whose "
        "test-time gate is 0"},
       allocation_option(&L0::allocation, {"global", "uniform"}),
       prune_at_option(&L0::prune_at)},
      [](const L0& o, const PruneSettings&) -> Timeline {
        const auto gates = std::make_shared<L0Gates>(o);
        return {.events = {during(0.0, o.prune_at, gates),
                           at(one_shot_schedule(o.prune_at),
                              mask_update({.score = std::make_shared<GateScore>(gates),
                                           .allocation = o.select == Select::Zeros
                                                             ? threshold_allocation(
                                                                   hard_concrete::kClosedLogAlpha)
                                                             : make_allocation(o.allocation)}))},
                .refused = {{Ablation::Reinit, "it regularizes before it prunes"}}};
      });
}

}  // namespace espalier::prune::method_list
