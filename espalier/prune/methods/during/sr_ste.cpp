// SPDX-License-Identifier: Apache-2.0
/// SR-STE: learning N:M sparse networks from scratch.
///
/// Source: Zhou, Ma, Zhu, Liu, Zhang, Yuan, Sun, Li, "Learning N:M fine-grained structured sparse
/// neural networks from scratch", arXiv 2102.04010, equation 9. Between steps the model is the
/// sparse network (so masks, evaluations and checkpoints are those of any method) and the pruner
/// holds the dense weights; for the optimizer's step they are put in its place. Every layer with
/// enough inputs gets the pattern, the classifier too, as the asked sparsity counts it everywhere
/// here; the paper keeps it dense (`exclude fc` does).
#include <algorithm>
#include <cmath>
#include <utility>

#include <espalier/prune/methods/methods.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune::method_list {
namespace {

/// One weight of the network.
struct Place {
  Site site;
  Tensor dense;                                    ///< w
  std::shared_ptr<const sparse::Support> support;  ///< m
  int64_t flips = 0;  ///< changes of mask entries since the last report, every one counted

  const std::string& name() const { return site.name; }
  nn::Parameter& parameter() const { return *site.parts.front().parameter; }
};

/// 1 for the weights of the N units with the largest sum of |w| in every M.
Tensor best_mask(const Place& place) {
  Tensor magnitude = as_double(place.dense);
  double* s = magnitude.data<double>();
  for (int64_t i = 0; i < magnitude.numel(); ++i) s[i] = std::abs(s[i]);
  const Cell& cell = place.site.cell;
  const std::vector<uint8_t> kept = top_k_in_cells(
      unit_scores(place.site, {&magnitude, 1}, Reduce::Sum), {}, cell.keep, cell.size);
  Tensor mask = Tensor::empty(place.dense.shape(), DType::U8);
  const Units& units = place.site.parts.front().units;
  for (int64_t i = 0; i < mask.numel(); ++i) {
    mask.data<uint8_t>()[i] = kept[static_cast<size_t>(units.unit(i))];
  }
  return mask;
}

/// The model's weight becomes e = m * w, with m of the present w.
void put_sparse(Place& place) {
  const Tensor mask = best_mask(place);
  const uint8_t* after = mask.data<uint8_t>();
  int64_t flips = std::count(after, after + mask.numel(), uint8_t{0});
  if (place.support) {
    const uint8_t* before = place.support->mask().data<uint8_t>();
    flips = 0;
    for (int64_t i = 0; i < mask.numel(); ++i) flips += before[i] != after[i];
  }
  // A pattern that has not changed keeps what kernels have derived from it.
  if (!place.support || flips > 0) place.support = std::make_shared<sparse::Support>(mask);
  place.flips += flips;
  place.parameter().value.value().copy_(place.dense);
  place.parameter().set_support(place.support);
}

/// The model's weight becomes w, and its gradient G(e) + lambda (1 - m) w.
void put_dense(Place& place, double lambda) {
  nn::Parameter& parameter = place.parameter();
  parameter.set_support(nullptr);
  parameter.value.value().copy_(place.dense);
  if (!parameter.value.grad().defined()) return;
  // Into fresh memory: a gradient may share its tensor with another leaf's.
  Tensor gradient = parameter.value.grad().value().to(Layout::Nchw).contiguous().clone();
  dispatch_floating(gradient.dtype(), "sr-ste", [&](auto zero) {
    using T = decltype(zero);
    const uint8_t* m = place.support->mask().data<uint8_t>();
    const T* w = place.dense.data<T>();
    T* g = gradient.data<T>();
    for (int64_t i = 0; i < gradient.numel(); ++i) {
      if (m[i] == 0) g[i] += static_cast<T>(lambda) * w[i];
    }
  });
  parameter.value.set_grad(Variable(gradient));
}

class SrSte : public Action {
 public:
  explicit SrSte(double lambda) : lambda_(lambda) {}

  ActionFacts facts() const override { return {.needs_data = true, .revives = true}; }

  void enter(const Subject& subject, nn::TrainState&) override {
    notes_ = bind(subject);
    for (Place& place : places_) put_sparse(place);
  }

  void before_step(const Subject& subject, nn::TrainState&) override {
    bind(subject);
    for (Place& place : places_) place.parameter().grad_request = sparse::GradRequest::Dense;
  }

  void after_backward(const Subject&, nn::TrainState&) override {
    for (Place& place : places_) put_dense(place, lambda_);
  }

  void after_step(const Subject&, nn::TrainState&) override {
    for (Place& place : places_) {
      place.dense.copy_(place.parameter().value.value());
      put_sparse(place);
    }
  }

  void leave(const Subject& subject, nn::TrainState& state) override {
    bind(subject);
    for (Place& place : places_) place.parameter().grad_request = sparse::GradRequest::Masked;
    state.optimizer.clear_masked_state();
  }

  /// Tells how many entries of masks have changed since the last report.
  UpdateReport update(const Subject& subject,
                      std::span<const Moment> rounds,
                      UpdateNumber) override {
    bind(subject);
    UpdateReport report{.step = rounds.front().step,
                        .target = subject.settings.final(),
                        .notes = std::exchange(notes_, {})};
    for (const ScoredWeight& weight : weights_) {
      LayerReport layer{weight.name, weight.parameter->numel(), weight.parameter->nnz()};
      for (Place& place : places_) {
        if (place.name() == weight.name) layer.changed = std::exchange(place.flips, 0);
      }
      report.layers.push_back(layer);
    }
    return report;
  }

  std::map<std::string, Tensor> state() const override {
    std::map<std::string, Tensor> state;
    for (const Place& place : places_) {
      state["dense." + place.name()] = place.dense;
      state["flips." + place.name()] = Tensor::scalar(static_cast<double>(place.flips), DType::I64);
    }
    return state;
  }

  void load_state(const std::map<std::string, Tensor>& state) override {
    saved_.clear();
    for (const auto& [name, tensor] : state) saved_[name] = tensor.clone();
    places_.clear();
  }

 private:
  /// Finds the weights: at the first call, and after loading. Returns what is to be noted.
  std::vector<std::string> bind(const Subject& subject) {
    std::vector<std::string> notes;
    if (!places_.empty()) return notes;
    weights_ = prunable_weights(subject.model, subject.settings.exclude);
    for (Site& site : weight_sites(weights_, subject.pattern, notes)) {
      const nn::Parameter& parameter = *site.parts.front().parameter;
      Place place{std::move(site), parameter.value.value().clone(), nullptr};
      if (!saved_.empty()) restore(place);
      places_.push_back(std::move(place));
    }
    return notes;
  }

  void restore(Place& place) const {
    const auto dense = saved_.find("dense." + place.name());
    const auto flips = saved_.find("flips." + place.name());
    ESPALIER_CHECK(dense != saved_.end() && flips != saved_.end() &&
                       dense->second.shape() == place.dense.shape(),
                   ValueError,
                   "prune sr-ste: the saved state has no dense weights ",
                   place.dense.shape(),
                   " of ",
                   place.name());
    place.dense.copy_(dense->second);
    place.flips = static_cast<int64_t>(flips->second.item());
    place.support = place.parameter().support;
  }

  double lambda_;
  std::vector<std::string> notes_;
  std::vector<ScoredWeight> weights_;
  std::vector<Place> places_;
  std::map<std::string, Tensor> saved_;  // until the weights are found
};

struct Options {
  double sparse_decay = 2e-4;
};

}  // namespace

Method sr_ste() {
  return make_method<Options>(
      {.name = "sr-ste",
       .title = "SR-STE: N:M sparsity from scratch",
       .paper = "Zhou, Ma, Zhu, Liu, Zhang, Yuan, Sun, Li, arXiv 2102.04010",
       .year = 2021,
       .when = When::During,
       .idea = "Keep dense weights, run the network with the N largest of every M, give the "
               "gradient of the sparse network to all weights, and let those that are out decay, "
               "so that the choice settles.",
       .formula = "e = m w, m the N largest |w| of every M input channels; w <- w - lr (dL/de + "
                  "lambda (1 - m) w), and the optimizer's weight decay on all",
       .schedule = "from the first step to the last the mask follows the weights in every step; "
                   "reports tell how many entries changed in an epoch",
       .differs = "every layer with enough inputs gets the pattern, the classifier too (published: "
                  "dense, `exclude fc`)",
       .patterns = {"2:4", "1:4", "4:8", "2:4g4"}},
      {{&Options::sparse_decay,
        "sparse-decay",
        {0, 1},
        "",
        "lambda, on the weights that are out; 0: straight-through alone"}},
      [](const Options& o, const PruneSettings&) -> Timeline {
        const auto follow = std::make_shared<SrSte>(o.sparse_decay);
        return {.events = {during(0.0, 1.0, follow),
                           at(epochs_schedule(Epochs::BeforeTheLast), follow),
                           at(epochs_schedule(Epochs::Last), follow)},
                .refused = no_ablation("its mask follows the weights from step to step")};
      });
}

}  // namespace espalier::prune::method_list
