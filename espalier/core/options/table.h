// SPDX-License-Identifier: Apache-2.0
/// OptionTable: the members of a plain struct of settings as options.
///
///   struct Cubic {
///     double begin = 0.2;
///     int64_t frequency = 100;
///   };
///   const OptionTable<Cubic> table = {
///       {&Cubic::begin, "begin", {0, 1}, "fraction of training", "first update"},
///       {&Cubic::frequency, "frequency", {1, 1e6}, "steps", "distance of updates"},
///   };
///   const Cubic cubic = table.read("prune gmp", {{"begin", "0.3"}});
///
/// Defaults are the struct's own. Whoever has the struct in C++ sets its members and needs no text.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <espalier/core/error.h>
#include <espalier/core/options/option.h>

namespace espalier {

/// The values that a number may have, ends included.
struct Between {
  double min = 0.0;  ///< the least
  double max = 0.0;  ///< the largest
};

/// A number with a type of its own, made from a double and read by `value()`: prune::Sparsity.
template <class Q>
concept Quantity = std::is_class_v<Q> && std::is_constructible_v<Q, double> && requires(Q q) {
  { q.value() } -> std::convertible_to<double>;
};

/// One line of a table: a member of S, its name, range or choices, unit and help.
template <class S>
class OptionEntry : public Option {
 public:
  /// A real number.
  OptionEntry(
      double S::*member, std::string name, Between range, const std::string& unit, std::string help)
      : OptionEntry(std::move(name), OptionKind::Real, std::move(help)) {
    ranged(range, unit);
    reads(
        member, detail::text_of_real, [](const std::string& t) { return detail::real_of_text(t); });
  }
  /// A whole number.
  OptionEntry(int64_t S::*member,
              std::string name,
              Between range,
              const std::string& unit,
              std::string help)
      : OptionEntry(std::move(name), OptionKind::Integer, std::move(help)) {
    ranged(range, unit);
    reads(
        member,
        [](int64_t value) { return std::to_string(value); },
        [](const std::string& t) { return detail::integer_of_text(t); });
  }
  /// A number of a type of its own.
  template <Quantity Q>
  OptionEntry(
      Q S::*member, std::string name, Between range, const std::string& unit, std::string help)
      : OptionEntry(std::move(name), OptionKind::Real, std::move(help)) {
    ranged(range, unit);
    reads(
        member,
        [](const Q& q) { return detail::text_of_real(q.value()); },
        [](const std::string& t) { return Q(detail::real_of_text(t)); });
  }
  /// The same, or nothing: an empty text.
  template <Quantity Q>
  OptionEntry(std::optional<Q> S::*member,
              std::string name,
              Between range,
              const std::string& unit,
              std::string help)
      : OptionEntry(std::move(name), OptionKind::Real, std::move(help)) {
    ranged(range, unit);
    reads(
        member,
        [](const std::optional<Q>& q) { return q ? detail::text_of_real(q->value()) : ""; },
        [](const std::string& t) { return std::optional<Q>(Q(detail::real_of_text(t))); });
  }
  /// On or off.
  OptionEntry(bool S::*member, std::string name, std::string help)
      : OptionEntry(std::move(name), OptionKind::Flag, std::move(help)) {
    reads(
        member,
        [](bool on) { return on ? "true" : "false"; },
        [](const std::string& t) { return t == "true"; });
  }
  /// Any text.
  OptionEntry(std::string S::*member, std::string name, std::string help)
      : OptionEntry(std::move(name), OptionKind::Text, std::move(help)) {
    reads(
        member, [](const std::string& t) { return t; }, [](const std::string& t) { return t; });
  }
  /// Names separated by commas.
  OptionEntry(std::vector<std::string> S::*member, std::string name, std::string help)
      : OptionEntry(std::move(name), OptionKind::Text, std::move(help)) {
    reads(member, join_names, split_names);
  }
  /// One of some texts.
  OptionEntry(std::string S::*member,
              std::string name,
              const std::vector<std::string>& choices,
              std::string help)
      : OptionEntry(std::move(name), OptionKind::Choice, std::move(help)) {
    Option::choices = choices;
    reads(
        member, [](const std::string& t) { return t; }, [](const std::string& t) { return t; });
  }
  /// An enumerator: the choices name those of E in their order, from 0.
  template <class E>
  requires std::is_enum_v<E> OptionEntry(E S::*member,
                                         std::string name,
                                         const std::vector<std::string>& choices,
                                         std::string help)
      : OptionEntry(std::move(name), OptionKind::Choice, std::move(help)) {
    Option::choices = choices;
    reads(
        member,
        [choices](E value) { return choices.at(static_cast<size_t>(value)); },
        [choices](const std::string& t) {
          size_t index = 0;
          while (index + 1 < choices.size() && choices[index] != t) ++index;
          return static_cast<E>(index);
        });
  }

  /// With an effect only where another option has one of these values.
  OptionEntry needing(std::string option, std::vector<std::string> values) && {
    needs = {std::move(option), std::move(values)};
    return std::move(*this);
  }
  /// With an effect only where another option has none of these values.
  OptionEntry needing_other_than(std::string option, std::vector<std::string> values) && {
    needs = {std::move(option), std::move(values), true};
    return std::move(*this);
  }
  /// With a default that this machine's environment gives.
  OptionEntry with_default_of_machine() && {
    of_machine = true;
    return std::move(*this);
  }

 private:
  OptionEntry(std::string own_name, OptionKind own_kind, std::string own_help)
      : Option{.name = std::move(own_name), .kind = own_kind, .help = std::move(own_help)} {}

  void ranged(Between range, const std::string& own_unit) {
    min = range.min;
    max = range.max;
    Option::unit = own_unit;
  }

  template <class M, class ToText, class FromText>
  void reads(M S::*member, ToText to_text, FromText from_text) {
    text_of = [member, to_text](const void* settings) -> std::string {
      return to_text(static_cast<const S*>(settings)->*member);
    };
    set = [member, from_text](void* settings, const std::string& text) {
      static_cast<S*>(settings)->*member = from_text(text);
    };
    default_value = text_of(&defaults());
  }

  static const S& defaults() {
    static const S settings = {};
    return settings;
  }
};

/// The options of a struct S, in the order in which they are told.
template <class S>
class OptionTable {
 public:
  /// Of no option.
  OptionTable() = default;
  /// A line for each.
  OptionTable(std::initializer_list<OptionEntry<S>> entries)
      : options_(entries.begin(), entries.end()) {}

  /// Adds the options of a part, a member that is a struct with a table of its own. Defaults are
  /// those that S gives the part.
  template <class Part>
  OptionTable& include(Part S::*member, const OptionTable<Part>& table) {
    const S defaults = {};
    for (Option option : table.options()) {
      option.text_of = [member, text_of = option.text_of](const void* settings) {
        return text_of(&(static_cast<const S*>(settings)->*member));
      };
      option.set = [member, set = option.set](void* settings, const std::string& text) {
        set(&(static_cast<S*>(settings)->*member), text);
      };
      option.default_value = option.text_of(&defaults);
      options_.push_back(std::move(option));
    }
    return *this;
  }
  /// Adds one line.
  OptionTable& add(OptionEntry<S> entry) {
    options_.push_back(std::move(entry));
    return *this;
  }
  /// Lets an option of a part have an effect only where another one has one of these values. Throws
  /// ValueError where there is no such option.
  OptionTable& needing(const std::string& name,
                       std::string other,
                       std::vector<std::string> values) {
    for (Option& option : options_) {
      if (option.name != name) continue;
      option.needs = {std::move(other), std::move(values)};
      return *this;
    }
    throw ValueError(cat("option table: no option '", name, "'"));
  }

  /// What is declared.
  const std::vector<Option>& options() const { return options_; }
  /// The defaults with what is given. Throws as `read_options`.
  S read(const std::string& owner, const OptionTexts& given) const {
    S settings = {};
    read_options(owner, options_, given, &settings);
    return settings;
  }
  /// All members as texts.
  OptionTexts texts(const S& settings) const { return texts_of(options_, &settings); }

 private:
  std::vector<Option> options_;
};

}  // namespace espalier
