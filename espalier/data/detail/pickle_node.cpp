// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/pickle.h>

namespace espalier::data::detail {

using Kind = PickleNode::Kind;

const PickleNode* PickleNode::find(std::string_view key) const {
  if (kind != Kind::Dict && kind != Kind::Call) return nullptr;
  for (size_t i = items.size(); i >= 2; i -= 2) {
    const PickleNode& at = *items[i - 2];
    const bool text_key = at.kind == Kind::Text || at.kind == Kind::Bytes;
    if (text_key && at.text == key) return items[i - 1];
  }
  return nullptr;
}

std::string_view name(Kind kind) {
  switch (kind) {
    case Kind::None:
      return "None";
    case Kind::Bool:
      return "a bool";
    case Kind::Int:
      return "a whole number";
    case Kind::Float:
      return "a float";
    case Kind::Text:
      return "a text";
    case Kind::Bytes:
      return "bytes";
    case Kind::List:
      return "a list";
    case Kind::Tuple:
      return "a tuple";
    case Kind::Dict:
      return "a dict";
    case Kind::Global:
      return "a name";
    case Kind::Call:
      return "an object";
    case Kind::Persistent:
      return "a reference";
  }
  return "";
}

}  // namespace espalier::data::detail
