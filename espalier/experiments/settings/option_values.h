// SPDX-License-Identifier: Apache-2.0
/// The values of options that verbs declare one by one.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <espalier/core/options/option.h>

namespace espalier::experiments {

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
  /// All values as texts.
  const OptionTexts& texts() const { return values_; }
  /// All that can be given.
  const std::vector<Option>& declared() const { return declared_; }

 private:
  const std::string& value(const std::string& name, OptionKind kind) const;
  void check_need(const Option& option) const;

  std::string owner_;
  std::vector<Option> declared_;
  OptionTexts values_;
};

}  // namespace espalier::experiments
