// SPDX-License-Identifier: Apache-2.0
/// Options: hyper-parameters, declared once and read by everyone who needs them: the command line
/// (as flags), configuration files, explanations, and the method itself (as checked values).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace espalier::prune {

/// What an option's text must be.
enum class OptionKind : uint8_t { Real, Integer, Flag, Choice, Text };
/// `real`, `integer`, `flag`, `choice`, `text`.
std::string name(OptionKind kind);

/// What another option must be for an option to have an effect.
struct OptionNeed {
  std::string option = {};               ///< the other one's name; empty: it always has
  std::vector<std::string> values = {};  ///< of the other one, as texts
  bool other_than = false;               ///< any but `values`
};

/// True if `text`, the value of the option that `need` names, lets the one that needs it have an
/// effect.
bool is_met(const OptionNeed& need, const std::string& text);

/// One declared hyper-parameter. Values travel as text and are checked when `OptionValues` is
/// built.
struct Option {
  std::string name;  ///< as on the command line without the dashes: `begin`, `min-per-layer`
  OptionKind kind = OptionKind::Text;     ///< what its text must be
  std::string default_value;              ///< text form; flags: `false` or `true`
  std::string unit;                       ///< `fraction of training`, `steps`, ..; empty if none
  std::string help;                       ///< one sentence
  double min = 0.0;                       ///< of Real and Integer: allowed range, ends included
  double max = 0.0;                       ///< of Real and Integer: end of the range, included
  std::vector<std::string> choices = {};  ///< of Choice
  OptionNeed needs = {};                  ///< to give it in vain is an error
};

/// Short forms for the option lists of methods.
Option real_option(std::string name,
                   double default_value,
                   double min,
                   double max,
                   std::string unit,
                   std::string help);
/// An integer between `min` and `max`.
Option integer_option(std::string name,
                      int64_t default_value,
                      int64_t min,
                      int64_t max,
                      std::string unit,
                      std::string help);
/// A flag that is off by default.
Option flag_option(std::string name, std::string help);
/// One of `choices`, the first by default.
Option choice_option(std::string name, std::vector<std::string> choices, std::string help);
/// Any text.
Option text_option(std::string name, std::string default_value, std::string help);
/// The option with what it needs.
Option needing(Option option, OptionNeed need);

/// The names of a list `A, B,C`, without blanks around them; empty ones are left out.
std::vector<std::string> split_names(const std::string& text);

/// The values of a list of declared options: what was given, else the default.
class OptionValues {
 public:
  /// Throws ValueError for a name that is not declared (listing the declared ones), for a value
  /// that does not parse or is out of range, and for one that another option makes idle (a flag
  /// that is turned off needs nothing). `owner` stands in errors.
  OptionValues(std::string owner,
               std::vector<Option> declared,
               const std::map<std::string, std::string>& given = {});

  /// Of reals.
  double real(const std::string& name) const;
  /// Of integers.
  int64_t integer(const std::string& name) const;
  /// Of flags.
  bool flag(const std::string& name) const;
  /// Of choices and texts.
  const std::string& text(const std::string& name) const;
  /// All that can be given.
  const std::vector<Option>& declared() const { return declared_; }

 private:
  const std::string& value(const std::string& name, OptionKind kind) const;
  void check_need(const Option& option) const;

  std::string owner_;
  std::vector<Option> declared_;
  std::map<std::string, std::string> values_;
};

}  // namespace espalier::prune
