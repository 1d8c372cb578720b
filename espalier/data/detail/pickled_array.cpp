// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/pickled_array.h>

#include <array>
#include <optional>

#include <espalier/core/error.h>

namespace espalier::data::detail {
namespace {

using Kind = PickleNode::Kind;

constexpr std::array<std::string_view, 7> kGlobals = {"numpy.core.multiarray._reconstruct",
                                                      "numpy._core.multiarray._reconstruct",
                                                      "numpy.core.numeric._frombuffer",
                                                      "numpy._core.numeric._frombuffer",
                                                      "numpy.ndarray",
                                                      "numpy.dtype",
                                                      "_codecs.encode"};

// The parts of an array, wherever its form keeps them.
struct Parts {
  const PickleNode* shape = nullptr;
  const PickleNode* type = nullptr;
  bool columns_first = false;
  const PickleNode* data = nullptr;
};

bool is_tuple(const PickleNode* node, size_t size) {
  return node != nullptr && node->kind == Kind::Tuple && node->items.size() == size;
}

// (version, shape, dtype, is_fortran, data), or the arguments (data, dtype, shape, order).
std::optional<Parts> parts_of(const PickleNode& node) {
  if (node.kind != Kind::Call) return std::nullopt;
  if (node.text.ends_with("._reconstruct") && is_tuple(node.state, 5)) {
    const auto& of = node.state->items;
    return Parts{of[1], of[2], of[3]->whole != 0, of[4]};
  }
  if (node.text.ends_with("._frombuffer") && is_tuple(node.args, 4)) {
    const auto& of = node.args->items;
    return Parts{of[2], of[1], of[3]->text == "F", of[0]};
  }
  return std::nullopt;
}

bool is_uint8(const PickleNode& type) {
  const bool call = type.kind == Kind::Call && type.text == "numpy.dtype" &&
                    type.args->kind == Kind::Tuple && !type.args->items.empty();
  return call && type.args->items[0]->text == "u1";
}

// Python 3 writes bytes for Python 2 as a text to be encoded in Latin-1.
std::string latin1_of(const Pickle& pickle, std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto first = static_cast<uint8_t>(text[i]);
    if (first < 0x80) {
      out += text[i];
      continue;
    }
    const bool two = (first == 0xC2 || first == 0xC3) && i + 1 < text.size() &&
                     (static_cast<uint8_t>(text[i + 1]) & 0xC0U) == 0x80U;
    if (!two) pickle.fail("has a text for bytes with characters that Latin-1 has not");
    out += static_cast<char>((first & 3U) << 6U | (static_cast<uint8_t>(text[++i]) & 0x3FU));
  }
  return out;
}

std::string bytes_of(const Pickle& pickle, const PickleNode& node) {
  if (node.kind == Kind::Bytes || node.kind == Kind::Text) return std::string(node.text);
  if (node.kind == Kind::Call && node.text == "_codecs.encode" && is_tuple(node.args, 2) &&
      node.args->items[0]->kind == Kind::Text && node.args->items[1]->text == "latin1") {
    return latin1_of(pickle, node.args->items[0]->text);
  }
  pickle.fail(cat("expected the bytes of an array, got ", name(node.kind)));
}

}  // namespace

std::span<const std::string_view> numpy_globals() {
  return kGlobals;
}

PickledBytes pickled_bytes(const Pickle& pickle, const PickleNode& node) {
  const std::optional<Parts> parts = parts_of(node);
  if (!parts) pickle.fail(cat("expected an array of NumPy, got ", name(node.kind)));
  if (!is_uint8(*parts->type)) pickle.fail("expected an array of uint8, got one of another type");
  const auto is_size = [](const PickleNode* n) { return n->kind == Kind::Int && n->whole >= 0; };
  if (!is_tuple(parts->shape, 2) || !is_size(parts->shape->items[0]) ||
      !is_size(parts->shape->items[1])) {
    pickle.fail("expected an array of two dimensions");
  }
  const std::string bytes = bytes_of(pickle, *parts->data);
  PickledBytes out{parts->shape->items[0]->whole, parts->shape->items[1]->whole};
  const auto size = static_cast<int64_t>(bytes.size());
  const bool fits = out.columns == 0 || out.rows == 0
                        ? size == 0
                        : size % out.columns == 0 && size / out.columns == out.rows;
  if (!fits) {
    pickle.fail(cat("an array of ", out.rows, "x", out.columns, " has ", size, " bytes"));
  }
  out.values.assign(bytes.begin(), bytes.end());
  for (int64_t i = 0; parts->columns_first && i < size; ++i) {
    out.values[static_cast<size_t>(i)] = static_cast<uint8_t>(
        bytes[static_cast<size_t>(i % out.columns * out.rows + i / out.columns)]);
  }
  return out;
}

}  // namespace espalier::data::detail
