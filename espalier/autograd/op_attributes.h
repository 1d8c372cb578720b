// SPDX-License-Identifier: Apache-2.0
/// OpAttributes: what an op was called with beside its inputs, by name: a convolution's `stride`, a
/// concatenation's `dim`. Which names an op has stands in its file (`OpInfo::attributes`).
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <espalier/core/kernels/conv2d/conv2d.h>

namespace espalier {

/// A whole number or a flag (0 or 1), a real number, or a list of whole numbers.
using OpAttribute = std::variant<int64_t, double, std::vector<int64_t>>;

/// Attributes by name.
class OpAttributes {
 public:
  /// None.
  OpAttributes() = default;
  /// `{{"dim", int64_t{1}}, {"shape", OpAttributes::list(shape)}}`.
  OpAttributes(std::initializer_list<std::pair<const std::string, OpAttribute>> named)
      : named_(named) {}
  /// As read from a file.
  explicit OpAttributes(std::map<std::string, OpAttribute, std::less<>> named)
      : named_(std::move(named)) {}

  /// Height and width as a list.
  static std::vector<int64_t> list(const Pair& pair) { return {pair.h, pair.w}; }
  /// Any range of whole numbers as a list.
  template <class Range>
  static std::vector<int64_t> list(const Range& range) {
    return std::vector<int64_t>(range.begin(), range.end());
  }

  /// True if there is one of this name.
  bool contains(std::string_view name) const { return named_.find(name) != named_.end(); }
  /// A whole number. It and the following throw ValueError for a name that there isn't, and for
  /// attributes of another kind.
  int64_t integer(std::string_view name) const;
  /// A whole number other than 0.
  bool flag(std::string_view name) const { return integer(name) != 0; }
  /// A real number.
  double number(std::string_view name) const;
  /// A list.
  const std::vector<int64_t>& integers(std::string_view name) const;
  /// A list of height and width.
  Pair pair(std::string_view name) const;
  /// All of them.
  const std::map<std::string, OpAttribute, std::less<>>& all() const { return named_; }

  bool operator==(const OpAttributes&) const = default;

 private:
  template <class T>
  const T& get(std::string_view name) const;

  std::map<std::string, OpAttribute, std::less<>> named_;
};

}  // namespace espalier
