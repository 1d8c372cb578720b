// SPDX-License-Identifier: Apache-2.0
/// Option: one member of a struct of settings, declared once: its name, range, unit and a line of
/// help. Flags, keys of configuration files, help texts, JSON and run records are made from it, and
/// a text becomes the member's value here and nowhere else. The tables of members are table.h.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace espalier {

/// What an option's text must be.
enum class OptionKind : uint8_t { Real, Integer, Flag, Choice, Text };
/// `real`, `integer`, `flag`, `choice`, `text`.
std::string name(OptionKind kind);

/// Texts by option name, as a command line or a file gives them.
using OptionTexts = std::map<std::string, std::string>;

/// What another option of the same table must be for an option to have an effect.
struct OptionNeed {
  std::string option = {};               ///< the other one's name; empty: it always has
  std::vector<std::string> values = {};  ///< of the other one, as texts
  bool other_than = false;               ///< any but `values`
  /// True if `text`, the other one's value, lets the option that needs it have an effect.
  bool is_met(const std::string& text) const;
};

/// One member of a struct of settings.
struct Option {
  std::string name;  ///< as on the command line without the dashes: `begin`, `min-per-layer`
  OptionKind kind = OptionKind::Text;     ///< what its text must be
  std::string default_value = {};         ///< the member's initial value; flags: `false` or `true`
  std::string unit = {};                  ///< `fraction of training`, `steps`, ..; empty if none
  std::string help = {};                  ///< one sentence
  double min = 0.0;                       ///< of Real and Integer: allowed range, ends included
  double max = 0.0;                       ///< of Real and Integer: end of the range, included
  std::vector<std::string> choices = {};  ///< of Choice
  OptionNeed needs = {};                  ///< to give it in vain is an error
  bool of_machine =
      false;  ///< the default is this machine's: help, the same anywhere, leaves it out
  /// The member of a struct as text.
  std::function<std::string(const void* settings)> text_of = {};
  /// Sets the member of a struct from a text that `check` accepts.
  std::function<void(void* settings, const std::string& text)> set = {};

  /// Throws ValueError naming `owner`, the option, what was expected and what came.
  void check(const std::string& owner, const std::string& text) const;
};

/// Sets members from texts: those that are not given keep their values. Throws ValueError for a
/// name that no option has (listing those there are), a text that does not parse or is out of
/// range, and one that another option makes idle (a flag that is turned off needs nothing).
/// `owner` stands in errors.
void read_options(const std::string& owner,
                  const std::vector<Option>& options,
                  const OptionTexts& given,
                  void* settings);
/// The texts of all members.
OptionTexts texts_of(const std::vector<Option>& options, const void* settings);

/// The names of a list `A, B,C`, without blanks around them; empty ones are left out.
std::vector<std::string> split_names(const std::string& text);
/// The other way: `A,B,C`.
std::string join_names(const std::vector<std::string>& names);

namespace detail {
/// The shortest text that reads back as `value`.
std::string text_of_real(double value);
/// The number of a text that was checked.
double real_of_text(const std::string& text);
/// The whole number of a text that was checked.
int64_t integer_of_text(const std::string& text);
}  // namespace detail

}  // namespace espalier
