// SPDX-License-Identifier: Apache-2.0
/// Numbers of channels while a network is traced: they are merged when two turn out to be the same
/// channel, and frozen with a reason. Not a public interface.
#pragma once

#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace espalier::prune {

/// Disjoint sets of channel numbers (union by the smaller number, so results don't depend on
/// history).
class ChannelLabels {
 public:
  /// A channel that nothing is tied to yet.
  int32_t fresh() {
    parent_.push_back(static_cast<int32_t>(parent_.size()));
    reason_.emplace_back();
    return parent_.back();
  }

  int32_t find(int32_t label) {
    while (parent_[at(label)] != label) {
      parent_[at(label)] = parent_[at(parent_[at(label)])];
      label = parent_[at(label)];
    }
    return label;
  }

  /// Makes two channels one; frozen if either was.
  int32_t merge(int32_t a, int32_t b) {
    a = find(a);
    b = find(b);
    if (a == b) return a;
    if (b < a) std::swap(a, b);
    parent_[at(b)] = a;
    if (reason_[at(a)].empty()) reason_[at(a)] = std::move(reason_[at(b)]);
    return a;
  }

  /// The first reason stays.
  void freeze(int32_t label, const std::string& reason) {
    std::string& old = reason_[at(find(label))];
    if (old.empty()) old = reason;
  }

  const std::string& reason(int32_t label) { return reason_[at(find(label))]; }

 private:
  static size_t at(int32_t label) { return static_cast<size_t>(label); }

  std::vector<int32_t> parent_;
  std::vector<std::string> reason_;
};

}  // namespace espalier::prune
