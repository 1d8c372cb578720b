// SPDX-License-Identifier: Apache-2.0
/// Mean compensation: a channel that goes is replaced by its mean in the dense network. Its
/// reader's outputs lose W_:j mean(x_j) on average, over all positions that the data has (of a
/// convolution those at the border too), which its bias gives back.
///
/// Source: An, Zhao, Yu, Tang, Wang, arXiv 2312.11983, and the authors' code; a batch norm behind a
/// layer without a bias is ours.
#include <algorithm>

#include <espalier/nn/layers/batch_norm.h>
#include <espalier/prune/curvature/input_moments.h>
#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/curvature/response.h>
#include <espalier/prune/ground/as_double.h>
#include <espalier/prune/repair/repair.h>
#include <espalier/prune/sites/reader.h>

namespace espalier::prune {
namespace {

/// to[o] += more[o] of a vector of any element type.
void add_to(const Tensor& to, const std::vector<double>& more, double times) {
  Tensor sum = as_double(to).clone();
  for (size_t o = 0; o < more.size(); ++o) sum.data<double>()[o] += times * more[o];
  Tensor(to).copy_(sum);
}

class MeanCompensation : public Repair {
 public:
  explicit MeanCompensation(std::shared_ptr<InputMoments> moments) : moments_(std::move(moments)) {}
  bool chooses() const override { return false; }

  std::string refusal(const Pattern& pattern) const override {
    if (pattern.coupled()) return {};
    return cat("whole channels have means to make up for; got the pattern ", pattern.name());
  }

  void refit(const RepairContext& context,
             std::span<const Site> sites,
             std::span<const std::vector<uint8_t>> kept) override {
    for (size_t s = 0; s < sites.size(); ++s) {
      const SitePart* reader = only_reader(sites[s]);
      const std::vector<double> missing = lost_means(*reader, kept[s]);
      if (std::ranges::any_of(missing, [](double one) { return one != 0.0; })) {
        give_back(context, *reader, missing);
      }
    }
    moments_->forget();
  }

 private:
  /// What each output of the reader loses on average.
  std::vector<double> lost_means(const SitePart& reader, const std::vector<uint8_t>& kept) const {
    const InputMoments::Columns& inputs = moments_->of(reader.name);
    const Tensor weight = as_matrix(reader.parameter->value.value());
    const std::vector<int64_t> channel = channel_of_column(reader);
    std::vector<double> lost(static_cast<size_t>(weight.size(0)), 0.0);
    for (int64_t i = 0; i < weight.numel(); ++i) {
      const auto column = static_cast<size_t>(i % weight.size(1));
      if (channel[column] < 0 || kept[static_cast<size_t>(channel[column])] != 0) continue;
      lost[static_cast<size_t>(i / weight.size(1))] +=
          weight.data<double>()[i] * inputs.mean[column];
    }
    return lost;
  }

  static void give_back(const RepairContext& context,
                        const SitePart& reader,
                        const std::vector<double>& missing) {
    const std::string bias = reader.name.substr(0, reader.name.rfind("weight")) + "bias";
    for (const nn::NamedParameter& one : context.model.named_parameters()) {
      if (one.name != bias) continue;
      add_to(one.parameter->value.value(), missing, 1.0);
      one.parameter->apply_mask();
      return;
    }
    const Tensor images = context.inputs.batch(0).images;
    const Response behind = response_behind(context.model, {reader.name, reader.parameter}, images);
    if (behind.norm != nullptr) {
      add_to(behind.norm->running_mean, missing, -1.0);
    } else if (context.notes != nullptr) {
      context.notes->push_back(
          cat(reader.name,
              " has neither a bias nor a batch norm behind it, so the means of "
              "the channels that went are not made up for"));
    }
  }

  std::shared_ptr<InputMoments> moments_;
};

}  // namespace

std::shared_ptr<Repair> mean_compensation(std::shared_ptr<InputMoments> moments) {
  return std::make_shared<MeanCompensation>(std::move(moments));
}

}  // namespace espalier::prune
