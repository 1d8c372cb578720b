// SPDX-License-Identifier: Apache-2.0
/// The one door for JSON from files. What comes through it is no deeper than may be copied and
/// printed, has no key twice and nothing behind its end. For sources: nothing installed includes
/// it.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <nlohmann/json.hpp>

#include <espalier/core/detail/printable.h>
#include <espalier/core/error.h>

namespace espalier::detail {

/// What a text of JSON may be.
struct JsonLimits {
  int depth = 64;                     ///< lists and objects in one another
  int64_t bytes = int64_t{64} << 20;  ///< of the text; a value takes up to thirty times as much
};

/// Why a text is no JSON, in words: its line and column, and what stands there.
std::string json_mistake(std::string_view text, size_t byte);

/// What the JSON library says, without the tag that names its exception.
std::string json_words(const std::exception& error);

/// What a value is: "a list", "a number", ..
template <class Json>
std::string_view json_kind(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  if (value.is_string()) return "a text";
  if (value.is_boolean()) return "true or false";
  return value.is_null() ? "nothing" : "a number";
}

/// A value in an error, shortened.
template <class Json>
std::string json_excerpt(const Json& value) {
  return excerpt(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

/// The whole number that a value is, however it is written; nothing for all else.
template <class Json>
std::optional<int64_t> json_whole(const Json& value) {
  constexpr double kExact = 9007199254740992.0;  // beyond 2^53 doubles skip whole numbers
  if (value.is_number_unsigned() && value.template get<uint64_t>() > INT64_MAX) return {};
  if (value.is_number_integer()) return value.template get<int64_t>();
  if (!value.is_number_float()) return {};
  const auto number = value.template get<double>();
  if (!(number >= -kExact && number <= kExact) || number != std::trunc(number)) return {};
  return static_cast<int64_t>(number);
}

/// Builds a value from the library's events; each check is made before anything is stored.
template <class Json>
class JsonBuilder : public nlohmann::json_sax<Json> {
 public:
  using typename nlohmann::json_sax<Json>::number_integer_t;
  using typename nlohmann::json_sax<Json>::number_unsigned_t;
  using typename nlohmann::json_sax<Json>::number_float_t;
  using typename nlohmann::json_sax<Json>::string_t;
  using typename nlohmann::json_sax<Json>::binary_t;

  explicit JsonBuilder(int most_depth) : most_depth_(most_depth) {}

  Json root;
  std::string mistake;    ///< what is wrong with it, empty if it isn't JSON at all
  size_t wrong_byte = 0;  ///< counted from 1

  bool null() override { return put(nullptr) != nullptr; }
  bool boolean(bool value) override { return put(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return put(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return put(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override {
    return put(value) != nullptr;
  }
  bool string(string_t& value) override { return put(std::move(value)) != nullptr; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!open_.back().keys.insert(name).second) {
      mistake = cat("name '", excerpt(name), "' is given twice");
      return false;
    }
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t byte,
                   const std::string&,
                   const nlohmann::detail::exception&) override {
    wrong_byte = byte;
    return false;
  }

 private:
  using Object = typename Json::object_t;

  struct Level {
    Json* value;
    std::unordered_set<std::string> keys;
  };

  Json* put(Json value) {
    if (open_.empty()) {
      root = std::move(value);
      return &root;
    }
    Json& parent = *open_.back().value;
    if (parent.is_array()) {
      auto& list = parent.template get_ref<typename Json::array_t&>();
      return &list.emplace_back(std::move(value));
    }
    auto& object = parent.template get_ref<Object&>();
    if constexpr (requires { typename Object::Container; }) {
      // An object that keeps its order looks for an equal key one by one; there is none.
      auto& members = static_cast<typename Object::Container&>(object);
      return &members.emplace_back(std::move(key_), std::move(value)).second;
    } else {
      return &object.emplace(std::move(key_), std::move(value)).first->second;
    }
  }

  bool open(Json value) {
    if (static_cast<int>(open_.size()) >= most_depth_) {
      mistake =
          cat("nested too deeply: more than ", most_depth_, " lists or objects in one another");
      return false;
    }
    open_.push_back({put(std::move(value)), {}});
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  int most_depth_;
  std::vector<Level> open_;
  std::string key_;
};

/// Reads a text. Throws IoError beginning with `where`, which names the file: too long, no JSON,
/// too deep, a key twice, something behind its end.
template <class Json>
Json parse_json(std::string_view text, std::string_view where, JsonLimits limits = {}) {
  ESPALIER_CHECK(static_cast<int64_t>(text.size()) <= limits.bytes,
                 IoError,
                 where,
                 ": JSON of ",
                 text.size(),
                 " bytes, expected at most ",
                 limits.bytes);
  // The library takes a zero for the end, and what follows for nothing.
  const size_t zero = text.find('\0');
  ESPALIER_CHECK(zero == std::string_view::npos,
                 IoError,
                 where,
                 " is not valid JSON: ",
                 json_mistake(text, zero + 1));
  JsonBuilder<Json> builder(limits.depth);
  const bool whole = Json::sax_parse(text, &builder);
  ESPALIER_CHECK(builder.mistake.empty(), IoError, where, ": ", builder.mistake);
  ESPALIER_CHECK(
      whole, IoError, where, " is not valid JSON: ", json_mistake(text, builder.wrong_byte));
  return std::move(builder.root);
}

/// The same for bytes.
template <class Json>
Json parse_json(std::span<const uint8_t> bytes, std::string_view where, JsonLimits limits = {}) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return parse_json<Json>(text, where, limits);
}

}  // namespace espalier::detail
