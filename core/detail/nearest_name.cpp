// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/nearest_name.h>

#include <algorithm>
#include <utility>

namespace espalier::detail {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

std::optional<size_t> nearest_name(std::string_view wanted, const std::vector<std::string>& names) {
  std::optional<size_t> nearest;
  size_t best = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const size_t distance = edit_distance(wanted, names[i]);
    if (distance > std::max<size_t>(std::max(wanted.size(), names[i].size()) / 3, 1)) continue;
    if (nearest && distance >= best) continue;
    nearest = i;
    best = distance;
  }
  return nearest;
}

}  // namespace espalier::detail
