// SPDX-License-Identifier: Apache-2.0
/// Surgery on one layer after another, each on the inputs that the pruned layers before it give:
/// SparseGPT's columns, or the exact brain surgeon's rows.
#include <algorithm>
#include <functional>

#include <espalier/prune/curvature/gram.h>
#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/curvature/surgery.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/patterns/n_m.h>
#include <espalier/prune/repair/repair.h>

namespace espalier::prune {
namespace {

/// What is done to the weight matrix of a layer, or of one of its groups.
using Operate = std::function<Surgery(const Tensor& weight,
                                      const Tensor& hessian,
                                      const SurgeryOptions& options,
                                      const Tensor& alive)>;

class LayerSurgery : public Repair {
 public:
  LayerSurgery(const LayerSurgeryOptions& options, Operate operate)
      : options_(options), operate_(std::move(operate)) {}

  std::string refusal(const Pattern& pattern) const override {
    const auto* cells = dynamic_cast<const NMPattern*>(&pattern);
    if (cells == nullptr || cells->group() == 1) return {};
    return cat("expects a pattern N:M of single output channels, got ",
               pattern.name(),
               ": each output is compensated by itself, so outputs can't share a mask. Use ",
               pattern.cell().keep,
               ":",
               pattern.cell().size);
  }

  void begin(const RepairContext& context) override {
    batches_ = calibration_count(context.inputs, options_.batches, context.notes);
  }

  std::vector<uint8_t> repair(const RepairContext& context,
                              const Site& site,
                              int64_t kept) override {
    nn::Parameter& parameter = *site.parts.front().parameter;
    const nn::NamedParameter weight{site.name, &parameter};
    Grams hessians;
    visit_layer_inputs(context.model,
                       {&weight, 1},
                       context.inputs.batch,
                       batches_,
                       [&](size_t, int64_t group, const Tensor& x) { hessians.add(group, x); });
    const Shape shape = parameter.shape();
    const Tensor matrix = as_matrix(parameter.value.value());
    const Tensor alive = parameter.masked() ? as_matrix(parameter.mask()).to(DType::U8).contiguous()
                                            : Tensor::ones(matrix.shape(), DType::U8);
    Tensor pruned = Tensor::empty(matrix.shape(), DType::F64);
    Tensor mask = Tensor::empty(matrix.shape(), DType::U8);
    SurgeryOptions options{.sparsity = context.target,
                           .cell = site.cell,
                           .damping = options_.damping,
                           .block = options_.block,
                           .at_least = std::min(context.settings.min_per_layer, site.units)};
    const int64_t rows = shape[0] / hessians.groups();
    const std::vector<int64_t> removed =
        removed_by_group(alive, hessians.groups(), parameter.numel() - kept);
    for (int64_t group = 0; group < hessians.groups(); ++group) {
      const int64_t first = group * rows;
      if (hessians.groups() > 1 || kept != kept_count(parameter.numel(), context.target)) {
        // Rounding in every group by itself would miss the layer's number: 5 of 9 for a half. Nor
        // is a number of the layer's own the target's.
        options.sparsity = Sparsity(static_cast<double>(removed[static_cast<size_t>(group)]) /
                                    static_cast<double>(rows * matrix.size(1)));
        options.at_least = 0;
      }
      const Surgery part = operate_(matrix.slice(0, first, first + rows).contiguous(),
                                    hessians.hessian(group),
                                    options,
                                    alive.slice(0, first, first + rows));
      pruned.slice(0, first, first + rows).copy_(part.weight);
      mask.slice(0, first, first + rows).copy_(part.mask);
    }
    parameter.value.value().copy_(from_matrix(pruned, shape));
    parameter.set_mask(from_matrix(mask, shape).contiguous());
    return {};
  }

 private:
  /// How many weights each group of a layer loses, so that the layer loses the number it should:
  /// equal shares, but what is gone of a group already (`alive` is 0) stays gone, and then the
  /// others lose less.
  static std::vector<int64_t> removed_by_group(const Tensor& alive,
                                               int64_t groups,
                                               int64_t removed) {
    const int64_t size = alive.numel() / groups;
    const uint8_t* there = alive.data<uint8_t>();
    std::vector<int64_t> gone;
    for (int64_t g = 0; g < groups; ++g) {
      gone.push_back(std::count(there + g * size, there + (g + 1) * size, uint8_t{0}));
    }
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

  LayerSurgeryOptions options_;
  Operate operate_;
  int64_t batches_ = 0;
};

}  // namespace

std::shared_ptr<Repair> column_surgery(const LayerSurgeryOptions& options) {
  return std::make_shared<LayerSurgery>(
      options,
      [](const Tensor& weight,
         const Tensor& hessian,
         const SurgeryOptions& own,
         const Tensor& alive) { return prune_columns(weight, hessian, own, alive); });
}

std::shared_ptr<Repair> greedy_surgery(const LayerSurgeryOptions& options) {
  return std::make_shared<LayerSurgery>(options, prune_greedily);
}

}  // namespace espalier::prune
