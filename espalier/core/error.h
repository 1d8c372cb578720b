// SPDX-License-Identifier: Apache-2.0
/// The error family. Every failure of the library is an exception derived from `Error`; the library
/// never prints and never exits. A text names the operation, what was expected, what came, and a
/// hint.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace espalier {

/// Base of all exceptions thrown by Espalier.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Sizes, ranks or layouts of tensors do not fit together.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// A tensor has another element type than the operation needs.
class TypeError : public Error {
 public:
  using Error::Error;
};

/// An argument is outside of its allowed range, or two arguments contradict each other.
class ValueError : public Error {
 public:
  using Error::Error;
};

/// A file can't be read or written, or its content is not what its format promises.
class IoError : public Error {
 public:
  using Error::Error;
};

/// Something that is not supported, said by name, never silently wrong.
class NotImplemented : public Error {
 public:
  using Error::Error;
};

namespace detail {

inline void append(std::string& out, std::string_view text) {
  out += text;
}
inline void append(std::string& out, const char* text) {
  out += text;
}
inline void append(std::string& out, char c) {
  out += c;
}
inline void append(std::string& out, bool value) {
  out += value ? "true" : "false";
}
inline void append(std::string& out, int value) {
  out += std::to_string(value);
}
inline void append(std::string& out, unsigned value) {
  out += std::to_string(value);
}
inline void append(std::string& out, long value) {
  out += std::to_string(value);
}
inline void append(std::string& out, long long value) {
  out += std::to_string(value);
}
inline void append(std::string& out, unsigned long value) {
  out += std::to_string(value);
}
inline void append(std::string& out, unsigned long long value) {
  out += std::to_string(value);
}
void append(std::string& out, double value);

template <class T>
requires requires(const T& t) {
  { t.str() } -> std::convertible_to<std::string>;
}
void append(std::string& out, const T& value) {
  out += value.str();
}

}  // namespace detail

/// Concatenates its arguments (texts, numbers, and anything with `str()`) to one text.
template <class... Args>
std::string cat(const Args&... args) {
  std::string out;
  (detail::append(out, args), ...);
  return out;
}

}  // namespace espalier

/// Throws `Kind` with the concatenation of the remaining arguments when `condition` is false.
/// The text is built only on failure.
#define ESPALIER_CHECK(condition, Kind, ...)                \
  do {                                                      \
    if (!(condition)) [[unlikely]] {                        \
      throw ::espalier::Kind(::espalier::cat(__VA_ARGS__)); \
    }                                                       \
  } while (false)

/// A check of an internal invariant, compiled in when `ESPALIER_DCHECKS` is defined (Debug,
/// sanitizers).
#ifdef ESPALIER_DCHECKS
#define ESPALIER_DCHECK(condition) \
  ESPALIER_CHECK(                  \
      condition, Error, "internal check failed: " #condition " at " __FILE__ ":", __LINE__)
#else
#define ESPALIER_DCHECK(condition) \
  do {                             \
  } while (false)
#endif
