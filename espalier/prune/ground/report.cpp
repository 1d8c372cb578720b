// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/ground/report.h>

#include <algorithm>

namespace espalier::prune {
namespace {

Sparsity fraction_removed(int64_t total, int64_t kept) {
  return total == 0 ? Sparsity(0.0)
                    : Sparsity(static_cast<double>(total - kept) / static_cast<double>(total));
}

}  // namespace

Sparsity LayerReport::sparsity() const {
  return fraction_removed(total, kept);
}

int64_t UpdateReport::total() const {
  int64_t sum = 0;
  for (const LayerReport& layer : layers) sum += layer.total;
  return sum;
}

int64_t UpdateReport::kept() const {
  int64_t sum = 0;
  for (const LayerReport& layer : layers) sum += layer.kept;
  return sum;
}

Sparsity UpdateReport::sparsity() const {
  return fraction_removed(total(), kept());
}

void add_note(std::vector<std::string>& notes, const std::string& note) {
  if (std::ranges::find(notes, note) == notes.end()) notes.push_back(note);
}

}  // namespace espalier::prune
