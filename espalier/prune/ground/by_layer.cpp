// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/ground/by_layer.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include <espalier/core/error.h>
#include <espalier/core/options/option.h>

namespace espalier::prune {

std::vector<LayerSetting> parse_layer_settings(const std::string& text, const std::string& what) {
  std::vector<LayerSetting> settings;
  for (const std::string& entry : split_names(text)) {
    const size_t equals = entry.find('=');
    ESPALIER_CHECK(equals != std::string::npos && equals > 0 && equals + 1 < entry.size(),
                   ValueError,
                   what,
                   ": expects NAME=VALUE, separated by commas; got '",
                   entry,
                   "'");
    settings.push_back({entry.substr(0, equals), entry.substr(equals + 1)});
  }
  return settings;
}

bool names_layer(const std::string& name, const std::string& weight) {
  return weight == name ||
         (weight.size() > name.size() && weight.starts_with(name) && weight[name.size()] == '.');
}

const LayerSetting* setting_of(const std::vector<LayerSetting>& settings,
                               const std::string& weight) {
  const LayerSetting* last = nullptr;
  for (const LayerSetting& one : settings) {
    if (names_layer(one.layer, weight)) last = &one;
  }
  return last;
}

void check_layer_names(const std::vector<LayerSetting>& settings,
                       const std::vector<std::string>& weights,
                       const std::string& what) {
  for (const LayerSetting& one : settings) {
    const bool used = std::ranges::any_of(
        weights, [&](const std::string& weight) { return names_layer(one.layer, weight); });
    ESPALIER_CHECK(
        used, ValueError, what, ": no pruned layer has the name or prefix '", one.layer, "'");
  }
}

std::string block_of_layer(const std::string& weight) {
  const auto is_number = [](std::string_view text) {
    return !text.empty() &&
           std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c) != 0; });
  };
  const std::string layer = weight.substr(0, weight.rfind('.'));
  std::string block = layer;
  for (size_t begin = 0; begin < layer.size();) {
    const size_t end = layer.find('.', begin);
    if (end == std::string::npos) break;
    if (is_number(std::string_view(layer).substr(begin, end - begin))) block = layer.substr(0, end);
    begin = end + 1;
  }
  return block;
}

}  // namespace espalier::prune
