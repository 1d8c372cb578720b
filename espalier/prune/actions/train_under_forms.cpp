// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/train_under_forms.h>

#include <set>

#include <espalier/autograd/ops.h>
#include <espalier/nn/train/adam.h>
#include <espalier/prune/sites/collapse.h>
#include <espalier/prune/update/to_budget.h>

namespace espalier::prune {
namespace {

constexpr const char* kAdam = "adam.";

class TrainUnderForms : public Action {
 public:
  explicit TrainUnderForms(FormsTraining forms) : forms_(std::move(forms)) {}

  ActionFacts facts() const override {
    return {.needs_data = !forms_.stays,
            .revives = !forms_.stays && forms_.mask == nn::FoldedMask::OfForm,
            .divides = forms_.divides,
            .stays = forms_.stays};
  }

  std::optional<std::string> target_refusal(const Target&) const override {
    if (forms_.no_target) return forms_.no_target;
    return forms_.divides ? std::optional(std::string()) : std::nullopt;
  }

  std::vector<std::string> attach(const Subject& subject) override {
    if (sites(subject.model).empty()) {
      forms_.put_on(subject);
      none_ = sites(subject.model).empty();
      return {};
    }
    return {cat(forms_.kind, ": goes on with the forms that the network has")};
  }

  void enter(const Subject& subject, nn::TrainState& state) override {
    if (!sites(state.model).empty()) return;
    forms_.put_on(subject);
    if (!forms_.own_rate) state.optimizer.add(parameters_of(state.model, true));
  }

  void before_step(const Subject&, nn::TrainState& state) override {
    const std::vector<nn::FormSite> on = sites(state.model);
    ESPALIER_CHECK(!on.empty() || none_,
                   ValueError,
                   "prune: the network has no forms of kind ",
                   forms_.kind,
                   ". Call Pruner::attach before its state is loaded");
    if (none_) return;
    if (forms_.own_rate && !adam_) {
      adam_ = std::make_unique<nn::Adam>(
          std::vector<nn::ParameterGroup>{{.parameters = parameters_of(state.model, true)}},
          nn::AdamOptions{.lr = *forms_.own_rate});
      adam_->load_state_dict(loaded_);
      loaded_.clear();
    }
    for (const nn::FormSite& site : on) {
      if (forms_.decay_in_penalty) site.slot.parameter->decays = false;
    }
    if (!forms_.before_step) return;
    for (const nn::FormSite& site : once(on)) forms_.before_step(site, state);
  }

  Variable penalty(const Subject&, nn::TrainState& state) override {
    if (!forms_.penalty) return {};
    Variable total;
    for (const nn::FormSite& site : once(sites(state.model))) {
      const Variable one = forms_.penalty(*site.form(), *site.slot.parameter, state);
      total = total.defined() ? total + one : one;
    }
    return total;
  }

  void after_backward(const Subject&, nn::TrainState& state) override {
    if (forms_.after_backward) {
      for (const nn::FormSite& site : once(sites(state.model))) forms_.after_backward(site, state);
    }
    if (adam_) {
      adam_->step();
      adam_->zero_grad();  // the training's optimizer leaves them alone
    }
    if (!forms_.only_forms) return;
    for (const nn::NamedParameter& p : parameters_of(state.model, false)) {
      p.parameter->value.zero_grad();
    }
  }

  void after_step(const Subject&, nn::TrainState& state) override {
    if (!forms_.after_step) return;
    for (const nn::FormSite& site : once(sites(state.model))) forms_.after_step(site, state);
  }

  void leave(const Subject&, nn::TrainState& state) override {
    const std::vector<nn::FormSite> on = sites(state.model);
    for (const nn::FormSite& site : on) {
      if (forms_.folded) forms_.folded->insert_or_assign(site.weight, *site.slot.form);
      if (forms_.decay_in_penalty) site.slot.parameter->decays = true;
    }
    adam_.reset();
    if (forms_.stays) return;
    nn::fold_forms(on, forms_.mask);
    state.optimizer.forget_missing(state.model);
    state.optimizer.clear_masked_state();
  }

  UpdateReport update(const Subject& subject,
                      std::span<const Moment> rounds,
                      UpdateNumber number) override {
    UpdateReport report{.step = rounds.front().step, .target = subject.settings.final()};
    const std::vector<nn::NamedParameter> weights =
        prunable_weights(subject.model, subject.settings.exclude);
    if (number.number == 0 && !forms_.stays) {
      fitting_weights(weights, subject.pattern, report.notes);
    }
    if (number.number == 0 && forms_.notes) {
      report.notes.insert(report.notes.end(), forms_.notes->begin(), forms_.notes->end());
    }
    if (forms_.stays) return of_factors(subject, weights, std::move(report));
    std::map<const nn::Parameter*, Tensor> masks;
    for (const nn::NamedParameter& weight : weights) {
      report.layers.push_back({weight.name, weight.parameter->numel(), weight.parameter->nnz()});
    }
    for (const nn::FormSite& site : once(sites(subject.model))) {
      const nn::Parameter& weight = *site.slot.parameter;
      const auto support = site.form()->support(weight);
      if (support) masks[&weight] = support->mask();
      for (LayerReport& layer : report.layers) {
        if (layer.name != site.weight) continue;
        if (support) layer.kept = support->nnz();
        if (forms_.take_changes) layer.changed = forms_.take_changes(*site.form(), weight);
      }
    }
    if (!number.last || forms_.mask != nn::FoldedMask::OfForm) return report;
    tell_cost(subject, subject.settings.final(), report);
    const auto mask_of = [&](const nn::Parameter& parameter) {
      const auto mask = masks.find(&parameter);
      return mask == masks.end() ? parameter.mask() : mask->second;
    };
    check_collapse(flow_of(subject.model, subject.inputs).get(), mask_of, subject.settings, report);
    return report;
  }

  std::map<std::string, Tensor> state() const override {
    std::map<std::string, Tensor> state;
    for (const auto& [name, tensor] : adam_ ? adam_->state_dict() : loaded_) {
      state[kAdam + name] = tensor;
    }
    return state;
  }

  void load_state(const std::map<std::string, Tensor>& state) override {
    adam_.reset();  // is made again when the model is at hand
    loaded_.clear();
    for (const auto& [name, tensor] : state) {
      if (name.starts_with(kAdam)) {
        loaded_[name.substr(std::string_view(kAdam).size())] = tensor.clone();
      }
    }
  }

 private:
  /// The numbers of factors count as weights that are kept.
  static UpdateReport of_factors(const Subject& subject,
                                 const std::vector<nn::NamedParameter>& weights,
                                 UpdateReport report) {
    const auto factors = nn::weight_factors(subject.model);
    ESPALIER_CHECK(!factors.empty() || subject.settings.final().value() == 0.0,
                   ValueError,
                   "prune: the network has no factors. Call Pruner::attach before");
    for (const nn::NamedParameter& weight : weights) {
      const auto cut = factors.find(weight.parameter);
      const int64_t kept = cut == factors.end() ? weight.parameter->nnz() : cut->second.numbers;
      report.layers.push_back({weight.name, weight.parameter->numel(), kept, 0});
    }
    tell_cost(subject, subject.settings.final(), report);
    return report;
  }

  std::vector<nn::FormSite> sites(nn::Module& model) const {
    std::vector<nn::FormSite> out = nn::form_sites(model);
    std::erase_if(out, [&](const nn::FormSite& site) {
      return site.form() == nullptr || site.form()->kind() != forms_.kind;
    });
    return out;
  }

  /// Without those of layers that have the form of one before them.
  static std::vector<nn::FormSite> once(std::vector<nn::FormSite> sites) {
    std::set<const nn::Form*> seen;
    std::erase_if(sites,
                  [&](const nn::FormSite& site) { return !seen.insert(site.form()).second; });
    return sites;
  }

  /// The model's parameters that are the forms', or all others.
  std::vector<nn::NamedParameter> parameters_of(nn::Module& model, bool of_forms) const {
    std::set<const VariableState*> own;
    for (const nn::FormSite& site : sites(model)) {
      for (const nn::NamedParameter& p : site.form()->named_parameters()) {
        own.insert(p.parameter->value.state().get());
      }
    }
    std::vector<nn::NamedParameter> out = model.named_parameters();
    std::erase_if(out, [&](const nn::NamedParameter& p) {
      return own.contains(p.parameter->value.state().get()) != of_forms;
    });
    return out;
  }

  FormsTraining forms_;
  bool none_ = false;                     // nothing is asked, and so no form was put on
  std::unique_ptr<nn::Adam> adam_;        // of the forms' parameters
  std::map<std::string, Tensor> loaded_;  // its state, until it is made
};

}  // namespace

std::shared_ptr<Action> train_under_forms(FormsTraining forms) {
  return std::make_shared<TrainUnderForms>(std::move(forms));
}

}  // namespace espalier::prune
