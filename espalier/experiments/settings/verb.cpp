// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/settings/verb.h>

#include <CLI/CLI.hpp>

namespace espalier::experiments {

Flag Flag::required() const {
  option_->required();
  return *this;
}

Flag Flag::type_name(const std::string& name) const {
  option_->type_name(name);
  return *this;
}

Flag Flag::option_text(const std::string& text) const {
  option_->option_text(text);
  return *this;
}

Flag Flag::show_default() const {
  option_->capture_default_str();
  return *this;
}

Flag Flag::between(int64_t least, int64_t most) const {
  CLI::Validator range = CLI::Range(least, most);
  range.description("");  // the help stays `UINT=0`
  option_->check(range);
  return *this;
}

Flag Flag::excludes(const Flag& other) const {
  option_->excludes(other.option_);
  return *this;
}

Verb Verb::add_verb(const std::string& name, const std::string& help) const {
  return Verb(*app_->add_subcommand(name, help));
}

void Verb::require_verb() const {
  app_->require_subcommand(1);
}

Flag Verb::add_flag(const std::string& names, bool& value, const std::string& help) const {
  return Flag(*app_->add_flag(names, value, help));
}

Flag Verb::add_option(const std::string& names, std::string& value, const std::string& help) const {
  return Flag(*app_->add_option(names, value, help));
}

Flag Verb::add_option(const std::string& names,
                      std::vector<std::string>& value,
                      const std::string& help) const {
  return Flag(*app_->add_option(names, value, help));
}

Flag Verb::add_option(const std::string& names, int64_t& value, const std::string& help) const {
  return Flag(*app_->add_option(names, value, help));
}

Flag Verb::add_option(const std::string& names, uint64_t& value, const std::string& help) const {
  return Flag(*app_->add_option(names, value, help));
}

Flag Verb::add_option(const std::string& names,
                      std::optional<int>& value,
                      const std::string& help) const {
  return Flag(*app_->add_option(names, value, help));
}

Flag Verb::add_option(const std::string& names,
                      std::optional<int64_t>& value,
                      const std::string& help) const {
  return Flag(*app_->add_option(names, value, help));
}

void Verb::footer(std::function<std::string()> text) const {
  app_->footer(std::move(text));
}

void Verb::callback(std::function<void()> chosen) const {
  app_->callback(std::move(chosen));
}

}  // namespace espalier::experiments
