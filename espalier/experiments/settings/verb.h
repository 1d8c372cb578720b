// SPDX-License-Identifier: Apache-2.0
/// How verbs declare their flags. CLI11, which parses them, is included by verb.cpp,
/// given_options.cpp, surface.cpp and command.cpp alone: it takes seconds to compile wherever it
/// is.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace espalier::experiments {

/// One flag, option or place of a verb; each member function says something of it and returns it.
class Flag {
 public:
  explicit Flag(CLI::Option& option) : option_(&option) {}

  /// It must be given.
  Flag required() const;
  /// What the help calls its value: `FILE`.
  Flag type_name(const std::string& name) const;
  /// All that the help says between its name and its text.
  Flag option_text(const std::string& text) const;
  /// The help shows the value that its variable has now.
  Flag show_default() const;
  /// A number from `least` to `most`; anything else is bad use.
  Flag between(int64_t least, int64_t most) const;
  /// Not beside `other`.
  Flag excludes(const Flag& other) const;

 private:
  CLI::Option* option_;
};

/// A verb, or the command above all verbs, while flags are added to it. The variables that values
/// go to must outlive the parsing.
class Verb {
 public:
  explicit Verb(CLI::App& app) : app_(&app) {}

  /// A verb below this one.
  Verb add_verb(const std::string& name, const std::string& help) const;
  /// One of the verbs below must be named.
  void require_verb() const;
  /// `names` as `--json`, or `--a,--b` for two; true where it is given.
  Flag add_flag(const std::string& names, bool& value, const std::string& help) const;
  /// An option `--name VALUE`, or without dashes a place. A list takes all places that are left.
  Flag add_option(const std::string& names, std::string& value, const std::string& help) const;
  Flag add_option(const std::string& names,
                  std::vector<std::string>& value,
                  const std::string& help) const;
  Flag add_option(const std::string& names, int64_t& value, const std::string& help) const;
  Flag add_option(const std::string& names, uint64_t& value, const std::string& help) const;
  Flag add_option(const std::string& names,
                  std::optional<int>& value,
                  const std::string& help) const;
  Flag add_option(const std::string& names,
                  std::optional<int64_t>& value,
                  const std::string& help) const;
  /// What its help says at the end; made when the help is asked for, after what stands beside it on
  /// the command line was read.
  void footer(std::function<std::string()> text) const;
  /// What happens when the verb was named and its flags have their values.
  void callback(std::function<void()> chosen) const;

  /// The verb as CLI11 has it.
  CLI::App& app() const { return *app_; }

 private:
  CLI::App* app_;
};

}  // namespace espalier::experiments
