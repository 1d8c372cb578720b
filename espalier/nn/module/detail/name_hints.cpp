// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/module/detail/name_hints.h>

#include <algorithm>
#include <string_view>

#include <espalier/core/error.h>

namespace espalier::nn::detail {
namespace {

// What stands before a known name; the shortest such text, empty when there is none.
std::string front_of(const std::string& given, const std::set<std::string>& known) {
  for (size_t dot = given.find('.'); dot != std::string::npos; dot = given.find('.', dot + 1)) {
    if (known.contains(given.substr(dot + 1))) return given.substr(0, dot + 1);
  }
  return {};
}

std::string_view who_puts(std::string_view front) {
  const bool compiled = front.find("_orig_mod.") != std::string_view::npos;
  const bool parallel = front.starts_with("module.") || front.ends_with(".module.");
  if (compiled && parallel) return ", which torch.compile and torch.nn.DataParallel put there";
  if (compiled) return ", which torch.compile puts there";
  if (parallel) return ", which torch.nn.DataParallel puts there";
  return "";
}

}  // namespace

std::string hint_of_names(const std::set<std::string>& given, const std::set<std::string>& known) {
  const auto ends = [&](std::string_view ending) {
    return std::any_of(given.begin(), given.end(), [&](const std::string& name) {
      return name.ends_with(ending);
    });
  };
  if (ends(".weight_orig") && ends(".weight_mask")) {
    return " Its names weight_orig and weight_mask are of torch.nn.utils.prune: in Python, "
           "prune.remove(module, 'weight') of each pruned module makes one weight of them before "
           "saving.";
  }
  for (const std::string& name : given) {
    const std::string front = front_of(name, known);
    if (front.empty() || known.contains(name)) continue;
    const auto fits = [&](const std::string& one) {
      return one.starts_with(front) && known.contains(one.substr(front.size()));
    };
    const auto count = std::count_if(given.begin(), given.end(), fits);
    if (2 * static_cast<size_t>(count) <= given.size()) continue;  // not a matter of the front
    return cat(" Names begin with '",
               front,
               "'",
               who_puts(front),
               ". Without it they fit; in Python: {name.removeprefix('",
               front,
               "'): value for name, value in state.items()}.");
  }
  return {};
}

}  // namespace espalier::nn::detail
