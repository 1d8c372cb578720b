// SPDX-License-Identifier: Apache-2.0
/// SparseGPT: pruning a trained network in one pass over its layers, with reconstruction.
///
/// Source: Frantar, Alistarh, "SparseGPT: massive language models can be accurately pruned in
/// one-shot", arXiv 2301.00774. Every layer's inputs come from the network pruned so far, layer by
/// layer (the published code goes block by block); arithmetic is float64. Columns of a convolution
/// are its unfolded inputs, tap by tap. The number removed is exact: the published code removes all
/// scores up to the one at place S n of a block of columns, one weight more. The paper prunes
/// networks without batch norm; where there is one, its statistics are measured again at the end,
/// on batches as training sees them, unless nothing was removed. A layer that loses nothing stays
/// as it is (there, weights of inputs that are always zero are cleared all the same).
#include <algorithm>

#include <espalier/core/kernels/gemm.h>
#include <espalier/prune/calibration/layer_inputs.h>
#include <espalier/prune/calibration/norm_statistics.h>
#include <espalier/prune/calibration/surgery.h>
#include <espalier/prune/collapse.h>
#include <espalier/prune/mask_update.h>
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/patterns/n_m.h>
#include <espalier/prune/select.h>

namespace espalier::prune::method_list {
namespace {

/// H = 2/N X Xᵀ of one layer, per group of channels.
class Hessians {
 public:
  void add(int64_t group, const Tensor& x) {
    if (static_cast<int64_t>(sums_.size()) <= group) {
      sums_.push_back(Tensor::zeros({x.size(1), x.size(1)}, DType::F64));
      positions_.push_back(0);
    }
    Tensor product = Tensor::empty({x.size(1), x.size(1)}, DType::F64);
    gemm(x.transpose(0, 1), x, product);
    double* sum = sums_[static_cast<size_t>(group)].data<double>();
    const double* p = product.data<double>();
    for (int64_t i = 0; i < product.numel(); ++i) sum[i] += p[i];
    positions_[static_cast<size_t>(group)] += x.size(0);
  }
  int64_t groups() const { return static_cast<int64_t>(sums_.size()); }
  Tensor of_group(int64_t group) const {
    const auto g = static_cast<size_t>(group);
    Tensor hessian = sums_[g].clone();
    double* h = hessian.data<double>();
    for (int64_t i = 0; i < hessian.numel(); ++i) h[i] *= 2.0 / static_cast<double>(positions_[g]);
    return hessian;
  }

 private:
  std::vector<Tensor> sums_;
  std::vector<int64_t> positions_;
};

class SparseGptPruner : public Pruner {
 public:
  SparseGptPruner(const OptionValues& options, PruneSettings settings, PruneInputs inputs)
      : batches_(options.integer("batches")),
        norm_batches_(options.integer("norm-batches")),
        settings_(std::move(settings)),
        inputs_(std::move(inputs)),
        pattern_(make_pattern(settings_.pattern.empty() ? "unstructured" : settings_.pattern)) {
    check_sparsity(*pattern_, settings_.sparsity);
    const auto* cells = dynamic_cast<const NMPattern*>(pattern_.get());
    ESPALIER_CHECK(cells == nullptr || cells->group() == 1,
                   ValueError,
                   "prune sparsegpt: expects a pattern N:M of single output channels, got ",
                   pattern_->name(),
                   ": each output is compensated by itself, so outputs can't share a mask. Use ",
                   pattern_->cell().keep,
                   ":",
                   pattern_->cell().size);
    ESPALIER_CHECK(settings_.ablation == Ablation::None,
                   NotImplemented,
                   "prune sparsegpt: has no ablation; its weights are made for its mask");
    surgery_ = {.sparsity = settings_.sparsity,
                .cell = pattern_->cell(),
                .damping = options.real("damping"),
                .block = options.integer("block"),
                .at_least = settings_.min_per_layer};
  }

  void before_training(nn::TrainState& state) override {
    const NoGrad no_grad;
    UpdateReport report{.step = state.step, .target = settings_.sparsity};
    const auto weights = weights_to_prune(state.model, report);
    const PruneInputs inputs = inputs_of_training(inputs_, state);
    const auto batches = calibration_batches(inputs);
    const std::shared_ptr<const FlowGraph> flow = flow_of(state.model, inputs);
    refuse_empty_layers(*flow, weights, report);
    batches_ = calibration_count(inputs, batches_, &report.notes);
    const WeightKeeper keeper(weights);
    try {
      for (const auto& stage : calibration_stages(state.model, weights, batches(0), Stage::Layer)) {
        report.layers.push_back(prune_layer(state.model, stage.front(), inputs));
      }
      check_collapse(
          flow.get(), [](const nn::Parameter& one) { return one.mask(); }, settings_, report);
    } catch (...) {
      keeper.restore();
      throw;
    }
    const bool changed = std::any_of(report.layers.begin(),
                                     report.layers.end(),
                                     [](const LayerReport& layer) { return layer.changed > 0; });
    if (norm_batches_ > 0 && changed) {
      recalibrate_batch_norm(state.model, inputs.batch, norm_batches_);
    }
    state.optimizer.clear_masked_state();
    if (surgery_.cell.size == 0) report.target_of = SparsityOf::Weights;
    report.reached = report.sparsity();
    record(std::move(report), true);
  }

 private:
  /// Those that can have the pattern; the others are noted and reported as they are.
  std::vector<ScoredWeight> weights_to_prune(nn::Module& model, UpdateReport& report) const {
    const auto all = prunable_weights(model, settings_.exclude);
    auto chosen = fitting_weights(all, *pattern_, report.notes);
    report.layers = unchanged_layers(all, chosen);
    return chosen;
  }

  /// What is known before the work: the layers that keep nothing at this sparsity.
  void refuse_empty_layers(const FlowGraph& flow,
                           const std::vector<ScoredWeight>& weights,
                           const UpdateReport& report) const {
    const auto mask = [&](const nn::Parameter& parameter) {
      const bool chosen = std::ranges::any_of(
          weights, [&](const ScoredWeight& one) { return one.parameter == &parameter; });
      const bool emptied = chosen && surgery_.cell.size == 0 && surgery_.at_least == 0 &&
                           kept_count(parameter.numel(), settings_.sparsity) == 0;
      return emptied ? Tensor::zeros(parameter.shape(), DType::U8) : parameter.mask();
    };
    UpdateReport unread{.target = report.target};
    check_collapse(&flow, mask, settings_, unread);
  }

  /// How many weights of a layer are gone afterwards.
  int64_t removed_of(int64_t weights) const {
    return std::min(removed_count(weights, settings_.sparsity),
                    std::max<int64_t>(0, weights - surgery_.at_least));
  }

  static int64_t gone_of(const nn::Parameter& parameter) {
    return parameter.masked() ? parameter.numel() - parameter.nnz() : 0;
  }

  /// How many weights each group of a layer loses, so that the layer loses the number it should:
  /// equal shares, but what is gone of a group already (`alive` is 0) stays gone, and then the
  /// others lose less.
  std::vector<int64_t> removed_by_group(const Tensor& alive, int64_t groups) const {
    const int64_t size = alive.numel() / groups;
    const uint8_t* there = alive.data<uint8_t>();
    std::vector<int64_t> gone;
    for (int64_t g = 0; g < groups; ++g) {
      gone.push_back(std::count(there + g * size, there + (g + 1) * size, uint8_t{0}));
    }
    const int64_t removed = removed_of(alive.numel());
    std::vector<bool> settled(gone.size(), false);
    for (;;) {
      int64_t left = removed;
      for (size_t g = 0; g < gone.size(); ++g) left -= settled[g] ? gone[g] : 0;
      const auto open = std::count(settled.begin(), settled.end(), false);
      const double share = open == 0 ? 0.0 : static_cast<double>(left) / static_cast<double>(open);
      std::vector<double> wanted;
      for (const bool done : settled) wanted.push_back(done ? 0.0 : share);
      std::vector<int64_t> lost = apportion(wanted);
      bool fits = true;
      for (size_t g = 0; g < gone.size(); ++g) {
        if (gone[g] <= lost[g]) continue;
        fits = fits && settled[g];
        settled[g] = true;
        lost[g] = gone[g];
      }
      if (fits) return lost;
    }
  }

  LayerReport prune_layer(nn::Module& model,
                          const ScoredWeight& weight,
                          const PruneInputs& inputs) {
    nn::Parameter& parameter = *weight.parameter;
    if (surgery_.cell.size == 0 && removed_of(parameter.numel()) <= gone_of(parameter)) {
      return {weight.name, parameter.numel(), parameter.nnz(), 0};
    }
    Hessians hessians;
    visit_layer_inputs(
        model, {&weight, 1}, inputs.batch, batches_, [&](size_t, int64_t group, const Tensor& x) {
          hessians.add(group, x);
        });
    const Shape shape = parameter.shape();
    const Tensor matrix = as_matrix(parameter.value.value());
    const Tensor alive = parameter.masked() ? as_matrix(parameter.mask()).to(DType::U8).contiguous()
                                            : Tensor::ones(matrix.shape(), DType::U8);
    Tensor pruned = Tensor::empty(matrix.shape(), DType::F64);
    Tensor mask = Tensor::empty(matrix.shape(), DType::U8);
    SurgeryOptions options = surgery_;
    const int64_t rows = shape[0] / hessians.groups();
    const std::vector<int64_t> removed = removed_by_group(alive, hessians.groups());
    for (int64_t group = 0; group < hessians.groups(); ++group) {
      const int64_t first = group * rows;
      if (hessians.groups() > 1) {
        // Rounding in every group by itself would miss the layer's number: 5 of 9 for a half.
        options.sparsity = Sparsity(static_cast<double>(removed[static_cast<size_t>(group)]) /
                                    static_cast<double>(rows * matrix.size(1)));
        options.at_least = 0;
      }
      const Surgery part = prune_columns(matrix.slice(0, first, first + rows).contiguous(),
                                         hessians.of_group(group),
                                         options,
                                         alive.slice(0, first, first + rows));
      pruned.slice(0, first, first + rows).copy_(part.weight);
      mask.slice(0, first, first + rows).copy_(part.mask);
    }
    const int64_t before = parameter.nnz();
    parameter.value.value().copy_(from_matrix(pruned, shape));
    parameter.set_mask(from_matrix(mask, shape).contiguous());
    return {weight.name, parameter.numel(), parameter.nnz(), before - parameter.nnz()};
  }

  int64_t batches_;
  int64_t norm_batches_;
  PruneSettings settings_;
  PruneInputs inputs_;
  std::shared_ptr<const Pattern> pattern_;
  SurgeryOptions surgery_;
};

}  // namespace

Method sparsegpt() {
  return {
      .name = "sparsegpt",
      .title = "SparseGPT: one-shot pruning with reconstruction",
      .paper = "Frantar, Alistarh, arXiv 2301.00774",
      .year = 2023,
      .speedup = Speedup::Unstructured,
      .when = When::After,
      .how = How::Criterion,
      .one_shot = true,
      .global = false,
      .data_free = false,
      .idea =
          "Remove the weights of a layer column by column, and let the columns still to come make "
          "up for what each removal does to the layer's outputs.",
      .formula =
          "H = 2/N X X^T + damping, H^-1 = U^T U; s_ij = w_ij^2 / U_ii^2; after a removal "
          "w_i,j.. -= w_ij / U_jj * U_j,j..; the fraction S with the lowest scores of every block "
          "of columns goes, or N of M neighbours stay",
      .schedule =
          "start from trained weights; one update before training, layer by layer on the inputs "
          "that the pruned layers before give; with --epochs 0 that is all",
      .differs =
          "exactly S n weights of a layer go; the published code removes every score up to the "
          "one at place S n of a block of columns, one weight more. Layers follow each other "
          "one by one (published: block by block), and batch norm, which the paper's networks "
          "don't have, is measured again",
      .patterns = {"unstructured", "2:4"},
      .options =
          {calibration_option(),
           real_option(
               "damping", 0.01, 0.0, 1e6, "of the mean of H's diagonal", "added to H's diagonal"),
           integer_option("block", 128, 1, 1'000'000, "columns", "masks chosen at a time"),
           integer_option("norm-batches",
                          50,
                          0,
                          1'000'000,
                          "",
                          "batches of training on which batch norm's statistics are measured "
                          "again afterwards, where there is any and something was removed; 0: they "
                          "stay those of the dense network")},
      .make =
          [](const OptionValues& options,
             const PruneSettings& settings,
             const PruneInputs& inputs) {
            return std::make_unique<SparseGptPruner>(options, settings, inputs);
          },
  };
}

}  // namespace espalier::prune::method_list
