// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/learn_ratios.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include <espalier/nn/train/adam.h>
#include <espalier/prune/actions/gate.h>
#include <espalier/prune/actions/step_gates.h>
#include <espalier/prune/penalties/resource.h>
#include <espalier/prune/penalties/soft_keep.h>
#include <espalier/prune/scores/norm_scale.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

constexpr double kFirstTheta = 5.0;  // of the published code: nearly all stay
constexpr double kDual = 1e-3;       // of rho, by which the multiplier moves in a step

double share(double theta) {
  return 1.0 / (1.0 + std::exp(-theta));
}

class LearnRatios : public Action {
 public:
  LearnRatios(const LearnRatiosOptions& options, std::shared_ptr<RatiosByLayer> ratios)
      : options_(options), ratios_(std::move(ratios)) {}

  ActionFacts facts() const override { return {.needs_data = true, .needs_norm = true}; }

  void check(const Subject& subject) override { bind(subject); }

  void enter(const Subject& subject, nn::TrainState&) override { bind(subject); }

  void before_step(const Subject& subject, nn::TrainState& state) override {
    bind(subject);
    const std::vector<std::vector<double>> importance = importance_of(subject);
    const Rng of_step =
        Rng(subject.inputs.seed, "keep ratios").fork(static_cast<uint64_t>(state.step));
    const double sharpness =
        options_.sharpness *
        std::pow(options_.final_sharpness / options_.sharpness, done(state, options_.until));
    keep_.clear();
    std::vector<std::vector<uint8_t>> open;
    for (size_t s = 0; s < sites_.size(); ++s) {
      keep_.push_back(soft_keep(importance[s], ratios()[s], sharpness));
      Rng own = of_step.fork(s);
      std::vector<uint8_t>& drawn = open.emplace_back();
      for (const double p : keep_.back().open) drawn.push_back(own.uniform64() < p ? 1 : 0);
      // A layer that is closed as a whole would cut the network.
      const auto likeliest = std::ranges::max_element(keep_.back().open);
      drawn[static_cast<size_t>(likeliest - keep_.back().open.begin())] = 1;
    }
    gates_->close(open);
  }

  void after_backward(const Subject&, nn::TrainState&) override {
    const std::vector<std::vector<double>> of_gates = gates_->reopen();
    const std::vector<double> now = ratios();
    std::vector<double> lives;
    for (const int site : site_of_channel_) {
      lives.push_back(site < 0 ? 1.0 : now[static_cast<size_t>(site)]);
    }
    const ExpectedCost cost = expected_cost(terms_, lives);
    const double beyond = cost.cost / dense_cost_ - budget_;
    const double price = std::max(0.0, multiplier_ + options_.rho * beyond) / dense_cost_;
    std::vector<double> slope(now.size(), 0.0);
    for (size_t c = 0; c < lives.size(); ++c) {
      if (site_of_channel_[c] < 0) continue;
      slope[static_cast<size_t>(site_of_channel_[c])] += price * cost.slope[c];
    }
    for (size_t s = 0; s < now.size(); ++s) {
      for (size_t c = 0; c < of_gates[s].size(); ++c) {
        slope[s] += of_gates[s][c] * keep_[s].slope[c];
      }
      slope[s] *= now[s] * (1.0 - now[s]);
    }
    theta_.value.set_grad(Variable(Tensor::from<double>(theta_.shape(), slope)));
    adam_->step();
    theta_.value.zero_grad();
    multiplier_ = std::max(0.0, multiplier_ + kDual * options_.rho * beyond);
  }

  void leave(const Subject& subject, nn::TrainState&) override {
    bind(subject);
    const std::vector<double> now = ratios();
    for (size_t s = 0; s < now.size(); ++s) (*ratios_)[sites_[s].name] = now[s];
  }

  std::map<std::string, Tensor> state() const override {
    if (!adam_) return loaded_;
    std::map<std::string, Tensor> state = adam_->state_dict();
    state["theta"] = theta_.value.value().clone();
    state["multiplier"] = Tensor::from<double>({1}, {multiplier_});
    return state;
  }
  void load_state(const std::map<std::string, Tensor>& state) override {
    sites_.clear();  // is bound again when the model is at hand
    adam_.reset();
    loaded_.clear();
    for (const auto& [name, tensor] : state) loaded_[name] = tensor.clone();
  }

 private:
  std::vector<double> ratios() const {
    std::vector<double> shares;
    for (const double theta : theta_.value.value().to_vector<double>()) {
      shares.push_back(share(theta));
    }
    return shares;
  }

  std::vector<std::vector<double>> importance_of(const Subject& subject) const {
    Rng unused(0);
    return norm_scale_score(OfNorms::Largest)
        ->score_units({subject.model, {}, subject.inputs, unused}, sites_);
  }

  /// Reads the network: at the first call, also of a resumed run.
  void bind(const Subject& subject) {
    if (!sites_.empty()) return;
    sites_ = MaskUpdate(subject.model,
                        subject.pattern,
                        subject.settings,
                        subject.inputs,
                        SiteRules{.refusal = without_norm_scale})
                 .sites();
    gates_.emplace(sites_);
    const Target target = subject.settings.target.empty() ? Target{.kind = BudgetKind::Sparsity}
                                                          : parse_target(subject.settings.target);
    const bool weights = target.kind == BudgetKind::Sparsity || target.kind == BudgetKind::Params;
    budget_ = 1.0 - subject.settings.final().value();
    const Variable sample = normal_sample(subject.model, subject.inputs.input_shape);
    const ChannelGraph graph = trace_channels(subject.model, sample);
    terms_ = resource_terms(
        subject.model, graph, sample, weights ? BudgetKind::Params : BudgetKind::Macs);
    site_of_channel_.assign(static_cast<size_t>(graph.channels()), -1);
    for (const LayerChannels& layer : graph.layers) find_channels(layer);
    dense_cost_ = expected_cost(terms_, std::vector<double>(site_of_channel_.size(), 1.0)).cost;
    make_ratios();
  }

  /// Of which site the channels are that a layer makes.
  void find_channels(const LayerChannels& layer) {
    const std::string weight = layer.name.empty() ? "weight" : layer.name + ".weight";
    for (size_t s = 0; s < sites_.size(); ++s) {
      for (const SitePart& part : sites_[s].parts) {
        if (part.name != weight || part.role != SliceRole::Producer) continue;
        const int64_t row = part.parameter->numel() / part.parameter->shape()[0];
        for (size_t i = 0; i < layer.out.size(); ++i) {
          if (part.units.unit(static_cast<int64_t>(i) * row) < 0) continue;
          site_of_channel_[static_cast<size_t>(layer.out[i])] = static_cast<int>(s);
        }
      }
    }
  }

  void make_ratios() {
    const auto count = static_cast<int64_t>(sites_.size());
    theta_ = nn::Parameter(Tensor::full({count}, kFirstTheta, DType::F64));
    multiplier_ = 0.0;
    adam_ = std::make_unique<nn::Adam>(
        std::vector<nn::ParameterGroup>{{.parameters = {{"ratios", &theta_}}}},
        nn::AdamOptions{.lr = options_.rate});
    if (loaded_.empty()) return;
    theta_.value.value().copy_(loaded_.at("theta"));
    multiplier_ = loaded_.at("multiplier").to_vector<double>().front();
    std::map<std::string, Tensor> of_adam = loaded_;
    of_adam.erase("theta");
    of_adam.erase("multiplier");
    adam_->load_state_dict(of_adam);
    loaded_.clear();
  }

  LearnRatiosOptions options_;
  std::shared_ptr<RatiosByLayer> ratios_;
  std::vector<Site> sites_;
  std::optional<StepGates> gates_;
  std::vector<ResourceTerm> terms_;
  std::vector<int> site_of_channel_;  // -1: it always lives
  double dense_cost_ = 0.0;
  double budget_ = 0.0;  // share of it
  nn::Parameter theta_;
  double multiplier_ = 0.0;
  std::unique_ptr<nn::Adam> adam_;
  std::vector<SoftKeep> keep_;            // of the running step
  std::map<std::string, Tensor> loaded_;  // until the model is at hand
};

}  // namespace

std::shared_ptr<Action> learn_ratios(const LearnRatiosOptions& options,
                                     std::shared_ptr<RatiosByLayer> ratios) {
  return std::make_shared<LearnRatios>(options, std::move(ratios));
}

}  // namespace espalier::prune
