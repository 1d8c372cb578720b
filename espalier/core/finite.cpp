// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/finite.h>

#include <cmath>

#include <espalier/core/error.h>

namespace espalier {

std::optional<NotFinite> find_not_finite(const std::map<std::string, Tensor>& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined() || !is_floating(tensor.dtype())) continue;
    const Tensor plain = tensor.to(Layout::Nchw).contiguous();
    std::optional<NotFinite> found;
    dispatch_floating(plain.dtype(), "find_not_finite", [&, &name = name](auto zero) {
      const auto* values = plain.data<decltype(zero)>();
      // x - x is 0 for numbers alone, and a sum without branches is fast.
      decltype(zero) sum = 0;
      for (int64_t i = 0; i < plain.numel(); ++i) sum += values[i] - values[i];
      for (int64_t i = 0; sum != 0 && i < plain.numel(); ++i) {
        if (std::isfinite(values[i])) continue;
        found = {name, i, static_cast<double>(values[i])};
        return;
      }
    });
    if (found) return found;
  }
  return std::nullopt;
}

std::string NotFinite::str() const {
  return cat("tensor '", name, "' holds ", value, " at flat index ", index);
}

void check_finite(const std::map<std::string, Tensor>& tensors, const std::string& where) {
  const auto found = find_not_finite(tensors);
  ESPALIER_CHECK(!found,
                 IoError,
                 where,
                 ": ",
                 found->str(),
                 "; expected finite numbers. Was it damaged, or did training diverge?");
}

void check_can_be_read(const std::map<std::string, Tensor>& tensors, const std::string& where) {
  const auto found = find_not_finite(tensors);
  ESPALIER_CHECK(!found,
                 ValueError,
                 where,
                 ": ",
                 found->str(),
                 "; expected finite numbers. Nothing was written, for no reader would take it");
}

}  // namespace espalier
