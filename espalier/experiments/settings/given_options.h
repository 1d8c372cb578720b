// SPDX-License-Identifier: Apache-2.0
/// Declared options as flags of a verb and as keys of its configuration file: from one declaration
/// come flag, help, TOML key and run.json. Values stay texts, which the
/// table of the settings reads.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <espalier/core/options/option.h>
#include <espalier/experiments/settings/verb.h>

namespace espalier::experiments {

/// Shows in the help that the declared option `name`, a file, must be given; the verb checks it.
void show_required(const Verb& verb, const std::string& name);

/// What was given of the declared options, by flag or by file. Must outlive the parsing.
class GivenOptions {
 public:
  /// Makes a flag `--name` of each option, listed under `group` in the help, or nowhere if that is
  /// empty; of an option that is on or off also `--no-name`, and of one named `no-name` `--name`. A
  /// name that is declared already is left alone.
  void declare(const Verb& verb, const std::vector<Option>& options, const std::string& group);

  /// Takes every key of a TOML file that no flag gave. Throws IoError for a bad file, ValueError
  /// for an unknown key (with the nearest known one, if one is near) and for a value that is no
  /// text, number, flag or list.
  void read_config(const std::filesystem::path& path);

  /// The names of all that was given.
  std::set<std::string> names() const;
  /// What was given, as texts by name.
  const std::map<std::string, std::string>& given() const { return given_; }
  /// Those of them that `options` declares.
  std::map<std::string, std::string> given_of(const std::vector<Option>& options) const;
  /// The text of one option; null if it was not given.
  const std::string* find(const std::string& name) const;

 private:
  std::map<std::string, Option> declared_;
  std::map<std::string, std::string> given_;
};

}  // namespace espalier::experiments
