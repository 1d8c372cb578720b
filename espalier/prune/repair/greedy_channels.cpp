// SPDX-License-Identifier: Apache-2.0
/// Channels by what they add to the layer that reads them: ThiNet's greedy choice, and a factor for
/// each channel that stays, folded into that layer's weights. All from the Gram matrix of its
/// inputs: sums over (output, position) are x_cᵀ x_d = sum over the columns a of c and b of d of
/// (Xᵀ X)_ab (Wᵀ W)_ab. What is added to an output by its bias, or by columns of no channel, is the
/// same before and after.
///
/// Source: Luo, Wu, Lin, arXiv 1707.06342, section 3.2.
#include <espalier/prune/curvature/gram.h>
#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/curvature/linalg/greedy.h>
#include <espalier/prune/repair/repair.h>
#include <espalier/prune/sites/reader.h>

namespace espalier::prune {
namespace {

class GreedyChannels : public Repair {
 public:
  explicit GreedyChannels(int64_t batches) : batches_(batches) {}

  std::string refusal(const Site& site) const override {
    return only_reader(site) != nullptr ? "" : "not exactly one layer reads them";
  }

  void begin(const RepairContext& context) override {
    count_ = calibration_count(context.inputs, batches_, context.notes);
  }

  std::vector<uint8_t> repair(const RepairContext& context,
                              const Site& site,
                              int64_t kept) override {
    const SitePart& part = *only_reader(site);
    const nn::NamedParameter reader = {part.name, part.parameter};
    Grams inputs;
    visit_layer_inputs(
        context.model,
        {&reader, 1},
        context.inputs.batch,
        count_,
        [&](size_t, int64_t group, const Tensor& x) {
          ESPALIER_CHECK(
              group == 0, NotImplemented, "prune: a grouped convolution reads ", site.name);
          inputs.add(group, x);
        });
    Tensor weight = as_matrix(part.parameter->value.value());
    const std::vector<int64_t> channel = channel_of_column(part);
    const Tensor added =
        contribution_gram(inputs.hessian(0), weight, channel, site.units).slice(1, 0, site.units);
    const Tensor gram = added.contiguous();
    const std::vector<uint8_t> keep = least_sum_goes(gram, kept);
    const std::vector<double> factors = factors_of_kept(gram, keep);
    double* w = weight.data<double>();
    for (int64_t i = 0; i < weight.numel(); ++i) {
      const int64_t c = channel[static_cast<size_t>(i % weight.size(1))];
      if (c >= 0) w[i] *= factors[static_cast<size_t>(c)];
    }
    part.parameter->value.value().copy_(from_matrix(weight, part.parameter->shape()));
    part.parameter->apply_mask();
    return keep;
  }

 private:
  int64_t batches_;
  int64_t count_ = 0;
};

}  // namespace

std::shared_ptr<Repair> greedy_channels(int64_t batches) {
  return std::make_shared<GreedyChannels>(batches);
}

}  // namespace espalier::prune
