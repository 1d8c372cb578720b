// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/repair/discriminative.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/sites/reader.h>

namespace espalier::prune {
namespace {

/// ||G_c||_F of every channel that a weight reads.
std::vector<double> channel_norms(const Tensor& gradient, const SitePart& reader, int64_t units) {
  std::vector<double> norms(static_cast<size_t>(units), 0.0);
  for (int64_t i = 0; i < gradient.numel(); ++i) {
    const int64_t unit = reader.units.unit(i);
    const double g = gradient.data<double>()[i];
    if (unit >= 0) norms[static_cast<size_t>(unit)] += g * g;
  }
  for (double& norm : norms) norm = std::sqrt(norm);
  return norms;
}

class DiscriminativeChannels : public Repair {
 public:
  explicit DiscriminativeChannels(const DiscriminativeOptions& options) : options_(options) {}

  bool compares() const override { return true; }

  std::string refusal(const Site& site) const override {
    return only_reader(site) != nullptr ? "" : "not exactly one layer reads them";
  }

  void begin(const RepairContext& context) override {
    loss_ = std::make_unique<JointLoss>(
        context.model,
        *context.original,
        prunable_weights(context.model),
        context.inputs,
        calibration_count(context.inputs, options_.batches, context.notes),
        options_.loss,
        *context.notes);
  }

  std::vector<uint8_t> repair(const RepairContext& /*context*/,
                              const Site& site,
                              int64_t kept) override {
    const SitePart& part = *only_reader(site);
    loss_->turn_to({part.name, part.parameter});
    nn::Parameter& weight = *part.parameter;
    const Tensor whole = weight.value.value().clone();
    const std::shared_ptr<const sparse::Support> before = weight.support;
    std::vector<uint8_t> in(static_cast<size_t>(site.units), 0);
    std::optional<double> first;  // losses
    double last = 0.0;
    take_in(part, whole, in, {});
    const int64_t rounds = options_.rounds == 0 ? kept : std::min(options_.rounds, kept);
    for (int64_t round = 0; round < rounds; ++round) {
      const JointLoss::Slope slope = loss_->slope();
      ESPALIER_CHECK(std::isfinite(slope.loss),
                     ValueError,
                     "prune: the loss by which channels of ",
                     site.name,
                     " are chosen has no number: the original network's outputs are too large for "
                     "it, as are a deep network's that was never trained, whose running statistics "
                     "fit no data. Start from trained weights, or lower `rate`");
      if (!first) first = slope.loss;
      const bool settled = std::abs(last - slope.loss) <= options_.tolerance * *first;
      if (options_.tolerance > 0.0 && round > 0 && settled) break;
      last = slope.loss;
      std::vector<uint8_t> out = in;
      for (uint8_t& one : out) one = 1 - one;
      const int64_t more = kept * (round + 1) / rounds - kept * round / rounds;
      take_in(part, whole, in, top_k(channel_norms(slope.gradient, part, site.units), out, more));
      train(part, before, in);
    }
    loss_->let_go();
    return in;
  }

 private:
  /// Gives the weight's values back to more channels; those of no channel always have theirs.
  static void take_in(const SitePart& part,
                      const Tensor& whole,
                      std::vector<uint8_t>& in,
                      const std::vector<uint8_t>& more) {
    Tensor values = part.parameter->value.value().contiguous();
    const std::vector<double> original = whole.to_vector<double>();
    std::vector<double> now = values.to_vector<double>();
    for (size_t i = 0; i < now.size(); ++i) {
      const int64_t unit = part.units.unit(static_cast<int64_t>(i));
      if (unit < 0 || in[static_cast<size_t>(unit)] != 0) continue;
      const bool comes = !more.empty() && more[static_cast<size_t>(unit)] != 0;
      now[i] = comes ? original[i] : 0.0;
    }
    part.parameter->value.value().copy_(
        Tensor::from<double>(values.shape(), now).to(values.dtype()));
    for (size_t u = 0; u < more.size(); ++u) in[u] |= more[u];
  }

  /// A pass in which the channels that are out stay out, by a mask.
  void train(const SitePart& part,
             const std::shared_ptr<const sparse::Support>& before,
             const std::vector<uint8_t>& in) {
    nn::Parameter& weight = *part.parameter;
    Tensor mask = before ? before->mask().clone() : Tensor::ones(weight.shape(), DType::U8);
    for (int64_t i = 0; i < mask.numel(); ++i) {
      const int64_t unit = part.units.unit(i);
      if (unit >= 0 && in[static_cast<size_t>(unit)] == 0) mask.data<uint8_t>()[i] = 0;
    }
    weight.set_mask(mask);
    loss_->descend();
    weight.set_support(before);
  }

  DiscriminativeOptions options_;
  std::unique_ptr<JointLoss> loss_;
};

}  // namespace

std::shared_ptr<Repair> discriminative_channels(const DiscriminativeOptions& options) {
  return std::make_shared<DiscriminativeChannels>(options);
}

}  // namespace espalier::prune
