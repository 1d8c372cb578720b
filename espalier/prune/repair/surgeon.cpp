// SPDX-License-Identifier: Apache-2.0
/// The optimal brain surgeon's repair: for every weight that goes, the others of its block move by
/// -w_q / [H^-1]_qq H^-1 e_q, one after another, which is the best for all that go together; or
/// each as if it went alone (WoodFisher).
///
/// Source: Hassibi, Stork, "Second order derivatives for network pruning: optimal brain surgeon",
/// 1992, equation 5; of several weights: Kurtic et al., arXiv 2203.07259; alone: Singh, Alistarh,
/// arXiv 2004.14340.
///
/// With a damping that is small beside what few gradients know, weights that go alone may each ask
/// the same few others to make up for them, whose sum is then many times their size. That is told.
#include <cmath>

#include <fmt/format.h>

#include <espalier/prune/curvature/linalg/surgeon.h>
#include <espalier/prune/ground/as_double.h>
#include <espalier/prune/repair/repair.h>

namespace espalier::prune {
namespace {

class SurgeonRepair : public Repair {
 public:
  SurgeonRepair(std::shared_ptr<FisherBlocks> fisher, Removal removal)
      : fisher_(std::move(fisher)), removal_(removal) {}
  bool chooses() const override { return false; }

  std::string refusal(const Pattern& pattern) const override {
    if (!pattern.coupled()) return {};
    return cat("blocks of weights make up for weights, not for channels; got the pattern ",
               pattern.name());
  }

  void refit(const RepairContext& context,
             std::span<const Site> sites,
             std::span<const std::vector<uint8_t>> kept) override {
    for (size_t s = 0; s < sites.size(); ++s) {
      const double moved = refit(sites[s].parts.front(), kept[s]);
      if (moved > 1.0 && context.notes != nullptr) {
        context.notes->push_back(fmt::format(
            "{}: making up for what goes moves what stays by {:.3g} times its size; more damping, "
            "or more gradients, help",
            sites[s].parts.front().name,
            moved));
      }
    }
    fisher_->forget();
  }

 private:
  /// By how many times its size (Euclidean norms) what stays has moved.
  double refit(const SitePart& part, const std::vector<uint8_t>& kept) const {
    const InverseFisher& fisher = fisher_->of(part.name);
    nn::Parameter& parameter = *part.parameter;
    const Tensor mask = parameter.mask();
    const auto goes = [&](int64_t i) {
      const int64_t unit = part.units.unit(i);
      const bool there = !mask.defined() || mask.data<uint8_t>()[i] != 0;
      return there && unit >= 0 && kept[static_cast<size_t>(unit)] == 0;
    };
    Tensor weights = as_double(parameter.value.value());
    double* w = weights.data<double>();
    parallel_for(fisher.blocks(), 1, [&](int64_t first, int64_t end) {
      for (int64_t b = first; b < end; ++b) {
        Tensor inverse = fisher.inverse(b);
        const std::span block(w + fisher.begin(b), static_cast<size_t>(fisher.size(b)));
        std::vector<uint8_t> gone;
        for (int64_t q = 0; q < fisher.size(b); ++q) gone.push_back(goes(fisher.begin(b) + q));
        if (removal_ == Removal::Alone) {
          remove_alone(inverse, block, gone);
          continue;
        }
        for (int64_t q = 0; q < fisher.size(b); ++q) {
          if (gone[static_cast<size_t>(q)] != 0) remove_weight(inverse, block, q);
        }
      }
    });
    const std::vector<double> before = parameter.value.value().to_vector<double>();
    double size = 0.0;
    double moved = 0.0;
    for (size_t i = 0; i < before.size(); ++i) {
      if (goes(static_cast<int64_t>(i))) continue;
      size += before[i] * before[i];
      moved += (w[i] - before[i]) * (w[i] - before[i]);
    }
    parameter.value.value().copy_(weights);
    return size > 0.0 ? std::sqrt(moved / size) : 0.0;
  }

  std::shared_ptr<FisherBlocks> fisher_;
  Removal removal_;
};

}  // namespace

std::shared_ptr<Repair> surgeon_repair(std::shared_ptr<FisherBlocks> fisher, Removal removal) {
  return std::make_shared<SurgeonRepair>(std::move(fisher), removal);
}

}  // namespace espalier::prune
