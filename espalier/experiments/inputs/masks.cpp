// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/inputs/masks.h>

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include <espalier/core/finite.h>
#include <espalier/nn/introspect/counting.h>

namespace espalier::experiments {

std::vector<std::string> take_masks(const std::filesystem::path& path,
                                    Network& network,
                                    std::optional<prune::BlockOrder> elastic) {
  constexpr std::string_view kMask = ".mask";
  std::map<std::string, Tensor> tensors = load_safetensors(path).tensors;
  check_finite(tensors, path.string());
  // The names of a shallower network are all in a deeper one, which would be pruned in part.
  if (!elastic && tells_its_network(path)) {
    const std::string found_on = load_network(path).name;
    ESPALIER_CHECK(found_on == network.name,
                   ValueError,
                   path.string(),
                   " holds the masks of another model, ",
                   found_on,
                   ", not of ",
                   network.name,
                   "; for another depth see --elastic");
  }
  if (elastic) tensors = prune::elastic_state(tensors, *network.module, *elastic);
  const auto parameters = network.module->named_parameters();
  const std::string classifier = nn::prunable_parameters(*network.module).back().name;
  std::vector<std::pair<nn::Parameter*, Tensor>> masks;
  std::vector<std::string> notes;
  for (const auto& [name, mask] : tensors) {
    if (!name.ends_with(kMask)) continue;
    const std::string owner = name.substr(0, name.size() - kMask.size());
    const auto found = std::find_if(
        parameters.begin(), parameters.end(), [&](const auto& one) { return one.name == owner; });
    ESPALIER_CHECK(found != parameters.end(),
                   ValueError,
                   path.string(),
                   " has a mask of '",
                   owner,
                   "', which ",
                   network.name,
                   " does not have. Is it of another model, or of another depth (--elastic)?");
    const Shape& expected = found->parameter->shape();
    if (owner == classifier && mask.shape() != expected) {
      notes.push_back(
          cat("mask-from: ", owner, " stays dense: its mask is for another number of classes"));
      continue;
    }
    ESPALIER_CHECK(mask.shape() == expected && mask.dtype() == DType::U8,
                   ValueError,
                   path.string(),
                   ": the mask of ",
                   owner,
                   " does not fit: expected bytes ",
                   expected,
                   ", got ",
                   mask.shape(),
                   ". Was it found at another width?");
    masks.emplace_back(found->parameter, mask);
  }
  ESPALIER_CHECK(!masks.empty(),
                 ValueError,
                 path.string(),
                 " holds no masks; give the model.safetensors of a pruned run");
  for (const auto& [parameter, mask] : masks) parameter->set_mask(mask);
  return notes;
}

std::vector<std::string> heed_zeros(const std::filesystem::path& file,
                                    Network& network,
                                    bool mask) {
  constexpr double kMany = 0.01;  // trained weights are hardly ever exactly zero
  int64_t weights = 0;
  int64_t zeros = 0;
  for (const nn::NamedParameter& p : nn::prunable_parameters(*network.module)) {
    weights += p.parameter->numel();
    if (p.parameter->masked()) continue;
    Tensor kept = Tensor::empty(p.parameter->shape(), DType::U8);
    const Tensor value = p.parameter->value.value().to(Layout::Nchw).contiguous();
    dispatch_floating(value.dtype(), "masks-from-zeros", [&](auto zero) {
      const auto* values = value.data<decltype(zero)>();
      std::transform(values, values + value.numel(), kept.data<uint8_t>(), [](auto v) {
        return static_cast<uint8_t>(v != 0 ? 1 : 0);
      });
    });
    const auto* flags = kept.data<uint8_t>();
    const int64_t of_weight = std::count(flags, flags + kept.numel(), uint8_t{0});
    if (of_weight == 0) continue;
    zeros += of_weight;
    if (mask) p.parameter->set_mask(kept);
  }
  const double share =
      weights == 0 ? 0.0 : static_cast<double>(zeros) / static_cast<double>(weights);
  const std::string what = fmt::format(
      "{}: {:.1f} % of the weights are zero and had no mask", file.string(), 100 * share);
  if (mask) {
    ESPALIER_CHECK(zeros > 0,
                   ValueError,
                   "--masks-from-zeros: ",
                   file.string(),
                   " has no weights that are zero without a mask; leave the option out");
    return {what + "; they are masked now"};
  }
  if (share < kMany) return {};
  return {what +
          ": they train like any other weight, and only compiled plans leave them out. "
          "--masks-from-zeros keeps them removed"};
}

}  // namespace espalier::experiments
