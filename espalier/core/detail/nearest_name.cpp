// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/nearest_name.h>

#include <algorithm>
#include <utility>

namespace espalier::detail {

size_t edit_distance(std::string_view a, std::string_view b) {
  // Of the table of all starts of both words: the running row and the two before it.
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, above);
    std::swap(above, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({substituted, above[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

namespace {

// A name of a file may be of any length; nobody means one that is longer than this.
constexpr size_t kLongest = 256;

// The distance, if it is small enough that the name may be meant.
std::optional<size_t> near(std::string_view wanted, std::string_view name) {
  const size_t longer = std::max(wanted.size(), name.size());
  const size_t most = std::max<size_t>(longer / 3, 1);
  if (longer > kLongest || longer - std::min(wanted.size(), name.size()) > most) return {};
  const size_t distance = edit_distance(wanted, name);
  if (distance > most) return {};
  return distance;
}

}  // namespace

std::optional<size_t> nearest_name(std::string_view wanted, const std::vector<std::string>& names) {
  std::optional<size_t> nearest;
  size_t best = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::optional<size_t> distance = near(wanted, names[i]);
    if (!distance || (nearest && *distance >= best)) continue;
    nearest = i;
    best = *distance;
  }
  return nearest;
}

std::vector<std::string> nearest_names(std::string_view wanted,
                                       const std::vector<std::string>& names,
                                       size_t most) {
  std::vector<std::pair<size_t, size_t>> found;
  for (size_t i = 0; i < names.size(); ++i) {
    if (const auto distance = near(wanted, names[i])) found.emplace_back(*distance, i);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> out;
  for (size_t i = 0; i < std::min(most, found.size()); ++i) out.push_back(names[found[i].second]);
  return out;
}

}  // namespace espalier::detail
