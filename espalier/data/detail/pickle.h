// SPDX-License-Identifier: Apache-2.0
/// Reader of Python pickles, protocols 0 to 5, that runs nothing: a pickle is a program that may
/// name any function, and here it can only build a record of what it says. Names of functions and
/// classes must be on the caller's list; a call is kept as its name and arguments, and what a call
/// means is up to whoever reads it (`pickled_array`). Not a public interface.
///
/// Source: Python's `pickletools`, which describes each opcode.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace espalier::data::detail {

/// One value of a pickle.
struct PickleNode {
  /// Python's types; of numbers those that fit.
  enum class Kind : uint8_t {
    None,
    Bool,        ///< `whole`
    Int,         ///< `whole`
    Float,       ///< `real`
    Text,        ///< `text`, UTF-8; a string of Python 2 as its bytes
    Bytes,       ///< `text`
    List,        ///< `items`
    Tuple,       ///< `items`
    Dict,        ///< `items`: key, value, key, ..
    Global,      ///< `text`: module.name
    Call,        ///< `text`(`args`), with `state` where that was set, and `items` as of a Dict
    Persistent,  ///< `args`: what names it outside of the pickle
  };
  Kind kind = Kind::None;
  int64_t whole = 0;
  double real = 0.0;
  std::string_view text = {};
  std::vector<const PickleNode*> items = {};
  const PickleNode* args = nullptr;
  const PickleNode* state = nullptr;

  /// The value of a text key of a Dict or a Call, the last one that was set; null without.
  const PickleNode* find(std::string_view key) const;
};

/// Names for errors: `a list`.
std::string_view name(PickleNode::Kind kind);

/// What a pickle may hold.
struct PickleLimits {
  std::span<const std::string_view> globals = {};  ///< module.name, all that may be named
  bool persistent = false;                         ///< Persistent, as PyTorch's files have
  int64_t nodes = int64_t{1} << 22;                ///< values at most
};

/// A pickle that was read.
class Pickle {
 public:
  /// Keeps `bytes`. Throws IoError naming `where` and the position for one that is cut, spoiled,
  /// holds more than one value, needs an opcode that is not read (by its code), or names what is
  /// not on the list (by the name).
  Pickle(std::vector<uint8_t> bytes, std::string where, const PickleLimits& limits);
  Pickle(const Pickle&) = delete;
  Pickle& operator=(const Pickle&) = delete;

  const PickleNode& root() const { return *root_; }
  const std::string& where() const { return where_; }
  /// Throws IoError: `where`: `text`.
  [[noreturn]] void fail(const std::string& text) const;
  /// `node.find(key)`. Throws IoError when it is not there or of another kind.
  const PickleNode& at(const PickleNode& node, std::string_view key, PickleNode::Kind kind) const;

 private:
  friend class Unpickler;

  std::vector<uint8_t> bytes_;
  std::string where_;
  std::deque<PickleNode> nodes_;   // stay where they are
  std::deque<std::string> texts_;  // those that are not in bytes_ as they are
  const PickleNode* root_ = nullptr;
};

}  // namespace espalier::data::detail
