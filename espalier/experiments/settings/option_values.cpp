// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/settings/option_values.h>

#include <espalier/core/error.h>

namespace espalier::experiments {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

}  // namespace

Option real_option(std::string name,
                   double default_value,
                   double min,
                   double max,
                   std::string unit,
                   std::string help) {
  return {.name = std::move(name),
          .kind = OptionKind::Real,
          .default_value = espalier::detail::text_of_real(default_value),
          .unit = std::move(unit),
          .help = std::move(help),
          .min = min,
          .max = max};
}

Option integer_option(std::string name,
                      int64_t default_value,
                      int64_t min,
                      int64_t max,
                      std::string unit,
                      std::string help) {
  return {.name = std::move(name),
          .kind = OptionKind::Integer,
          .default_value = std::to_string(default_value),
          .unit = std::move(unit),
          .help = std::move(help),
          .min = static_cast<double>(min),
          .max = static_cast<double>(max)};
}

Option flag_option(std::string name, std::string help) {
  return {.name = std::move(name),
          .kind = OptionKind::Flag,
          .default_value = "false",
          .unit = "",
          .help = std::move(help)};
}

Option choice_option(std::string name, std::vector<std::string> choices, std::string help) {
  const std::string first = choices.front();
  return {.name = std::move(name),
          .kind = OptionKind::Choice,
          .default_value = first,
          .unit = "",
          .help = std::move(help),
          .choices = std::move(choices)};
}

Option text_option(std::string name, std::string default_value, std::string help) {
  return {.name = std::move(name),
          .kind = OptionKind::Text,
          .default_value = std::move(default_value),
          .unit = "",
          .help = std::move(help)};
}

OptionValues::OptionValues(std::string owner,
                           std::vector<Option> declared,
                           const std::map<std::string, std::string>& given)
    : owner_(std::move(owner)), declared_(std::move(declared)) {
  std::vector<std::string> names;
  for (const Option& option : declared_) {
    names.push_back(option.name);
    values_[option.name] = option.default_value;
  }
  for (const auto& [name, text] : given) {
    ESPALIER_CHECK(values_.contains(name),
                   ValueError,
                   owner_,
                   ": no option '",
                   name,
                   "'. It has: ",
                   names.empty() ? "none" : joined(names));
    values_[name] = text;
  }
  for (const Option& option : declared_) option.check(owner_, values_[option.name]);
  for (const Option& option : declared_) {
    if (given.contains(option.name)) check_need(option);
  }
}

void OptionValues::check_need(const Option& option) const {
  const OptionNeed& need = option.needs;
  if (need.option.empty() || values_.at(option.name) == "false") return;
  const auto other = values_.find(need.option);
  ESPALIER_CHECK(other != values_.end(),
                 ValueError,
                 owner_,
                 ": option ",
                 option.name,
                 " needs an option that is not declared, ",
                 need.option);
  ESPALIER_CHECK(need.is_met(other->second),
                 ValueError,
                 owner_,
                 ": option ",
                 option.name,
                 " has no effect here: it needs ",
                 need.option,
                 need.other_than ? " other than " : " ",
                 joined(need.values),
                 ", got ",
                 other->second);
}

const std::string& OptionValues::value(const std::string& name, OptionKind kind) const {
  for (const Option& option : declared_) {
    if (option.name != name) continue;
    ESPALIER_CHECK(option.kind == kind,
                   TypeError,
                   owner_,
                   ": option ",
                   name,
                   " is declared as ",
                   espalier::name(option.kind),
                   " but read as ",
                   espalier::name(kind));
    return values_.at(name);
  }
  throw ValueError(cat(owner_, ": option ", name, " is read but not declared"));
}

double OptionValues::real(const std::string& name) const {
  return espalier::detail::real_of_text(value(name, OptionKind::Real));
}

int64_t OptionValues::integer(const std::string& name) const {
  return espalier::detail::integer_of_text(value(name, OptionKind::Integer));
}

bool OptionValues::flag(const std::string& name) const {
  return value(name, OptionKind::Flag) == "true";
}

const std::string& OptionValues::text(const std::string& name) const {
  for (const Option& option : declared_) {
    if (option.name == name && option.kind == OptionKind::Choice) {
      return value(name, OptionKind::Choice);
    }
  }
  return value(name, OptionKind::Text);
}

}  // namespace espalier::experiments
