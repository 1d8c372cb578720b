// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/command/command.h>

#include <algorithm>
#include <new>
#include <ostream>
#include <system_error>

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <espalier/core/detail/json.h>
#include <espalier/core/detail/nearest_name.h>
#include <espalier/core/detail/printable.h>
#include <espalier/core/io.h>
#include <espalier/experiments/command/plain_stream.h>
#include <espalier/experiments/command/plugins.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/interrupt.h>
#include <espalier/experiments/machine.h>
#include <espalier/experiments/report/reproduce.h>
#include <espalier/experiments/settings/help.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments {
namespace {

// Help in two columns of a hundred characters; names without how CLI11 marks that a flag turns
// something off: `--nesterov,--no-nesterov{false}` is `--[no-]nesterov`.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    if (is_positional) return option->get_name(true);
    const auto& names = option->get_lnames();
    if (names.size() == 2 && names[1] == "no-" + names[0]) return "--[no-]" + names[0];
    if (names.size() == 2 && names[0] == "no-" + names[1]) return "--" + names[0];
    return CLI::Formatter::make_option_name(option, is_positional);
  }
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    return help_lines(make_option_name(option, is_positional) + make_option_opts(option),
                      make_option_desc(option));
  }
  // One blank line at most, and none at the end.
  std::string make_help(const CLI::App* app,
                        std::string name,
                        CLI::AppFormatMode mode) const override {
    std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
    for (size_t at = text.find("\n\n\n"); at != std::string::npos; at = text.find("\n\n\n", at)) {
      text.erase(at, 1);
    }
    text.erase(text.find_last_not_of('\n') + 1);
    return text + "\n";
  }
  std::string make_group(std::string group,
                         bool is_positional,
                         std::vector<const CLI::Option*> options) const override {
    std::string out = "\n" + group + ":\n";
    for (const CLI::Option* option : options) out += make_option(option, is_positional);
    return out;
  }
};

// As typed: `espalier`, `espalier data fetch`.
std::string full_name(const CLI::App& verb) {
  const CLI::App* above = verb.get_parent();
  return above == nullptr ? verb.get_name() : full_name(*above) + " " + verb.get_name();
}

std::string see_help(const CLI::App& verb) {
  return cat("`", full_name(verb), " --help` lists them");
}

std::string nearest_verb(const CLI::App& above, const std::string& wanted) {
  std::vector<std::string> names;
  for (const CLI::App* verb : above.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(verb->get_name());
  }
  const auto nearest = espalier::detail::nearest_name(wanted, names);
  return nearest ? cat("the nearest is '", names[*nearest], "'; ") : "";
}

std::string nearest_option(const CLI::App& verb, const std::string& wanted) {
  std::vector<std::string> names;
  for (const CLI::Option* option : verb.get_options()) {
    const auto& known = option->get_lnames();
    names.insert(names.end(), known.begin(), known.end());
  }
  const size_t dashes = std::min(wanted.find_first_not_of('-'), wanted.size());
  const auto nearest = espalier::detail::nearest_name(wanted.substr(dashes), names);
  return nearest ? cat("the nearest is '--", names[*nearest], "'; ") : "";
}

// Throws for the first of the arguments that `verb` left over, an option before a value: those that
// follow an unknown option may be meant for it.
void refuse_left_over(const CLI::App& verb, const std::vector<std::string>& arguments) {
  const std::vector<std::string> left = verb.remaining();
  const auto first = [&](bool option) {
    return std::find_if(arguments.begin(), arguments.end(), [&](const std::string& argument) {
      return argument.starts_with('-') == option &&
             std::find(left.begin(), left.end(), argument) != left.end();
    });
  };
  if (const auto option = first(true); option != arguments.end()) {
    const std::string name = option->substr(0, option->find('='));
    throw ValueError(cat("'",
                         full_name(verb),
                         "' has no option '",
                         name,
                         "'; ",
                         nearest_option(verb, name),
                         see_help(verb)));
  }
  if (const auto value = first(false); value != arguments.end()) {
    ESPALIER_CHECK(!verb.get_subcommands([](const CLI::App*) { return true; }).empty(),
                   ValueError,
                   "'",
                   full_name(verb),
                   "' expects no further argument, got '",
                   *value,
                   "'; see `",
                   full_name(verb),
                   " --help`");
    throw ValueError(cat("'",
                         full_name(verb),
                         "' has no verb '",
                         *value,
                         "'; ",
                         nearest_verb(verb, *value),
                         see_help(verb)));
  }
}

// Throws ValueError saying what is wrong with the arguments. What is unknown comes first: CLI11
// misses a required option before it tells that its name was misspelt.
[[noreturn]] void refuse(const CLI::App& app,
                         const std::vector<std::string>& arguments,
                         const CLI::ParseError& error) {
  const CLI::App* verb = &app;
  for (;;) {
    refuse_left_over(*verb, arguments);
    const std::vector<CLI::App*> below = verb->get_subcommands();
    if (below.empty()) break;
    verb = below.front();
  }
  throw ValueError(
      cat("'", full_name(*verb), "': ", error.what(), "; see `", full_name(*verb), " --help`"));
}

int parse_and_run(const std::vector<std::string>& given, Console& console) {
  // Before verbs are declared: what plugins register has a place in help texts.
  const std::vector<std::string> arguments = load_plugins(given);
  CLI::App app("Espalier: train neural networks, prune them, and measure what it gains.",
               "espalier");
  app.set_help_flag("-h,--help", "print this help and exit");
  app.set_version_flag("--version", "espalier " + version(), "print the version and exit");
  app.require_subcommand(1);
  std::string plugin;
  app.add_option("--plugin",
                 plugin,
                 "a shared object with methods, models or data sets of its own; may be repeated")
      ->option_text("FILE");
  app.formatter(std::make_shared<HelpFormatter>());
  app.get_formatter()->column_width(34);
  verbs::Action action;
  for (const auto& add :
       {verbs::add_doctor,     verbs::add_models,      verbs::add_methods,    verbs::add_advise,
        verbs::add_data,       verbs::add_train,       verbs::add_sweep,      verbs::add_eval,
        verbs::add_predict,    verbs::add_sensitivity, verbs::add_bench,      verbs::add_score,
        verbs::add_shrink,     verbs::add_widen,       verbs::add_quantize,   verbs::add_compress,
        verbs::add_decompress, verbs::add_experiment,  verbs::add_report,     verbs::add_compare,
        verbs::add_inspect,    verbs::add_verify,      verbs::add_completion, verbs::add_man}) {
    add(Verb(app), console, action);
  }
  if (arguments.empty()) {
    console.out << app.help();
    return kExitOk;
  }
  if (!arguments[0].starts_with("-")) {
    const auto named =
        app.get_subcommands([&](const CLI::App* verb) { return verb->get_name() == arguments[0]; });
    ESPALIER_CHECK(!named.empty(),
                   ValueError,
                   "no verb '",
                   arguments[0],
                   "'; ",
                   nearest_verb(app, arguments[0]),
                   see_help(app));
  }
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != static_cast<int>(CLI::ExitCodes::Success)) {
      refuse(app, arguments, error);
    }
    app.exit(error, console.out, console.err);
    return kExitOk;
  }
  action();
  return kExitOk;
}

// Settings, descriptions and pages are UTF-8, and so are the names in them.
void check_utf8(const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    ESPALIER_CHECK(espalier::detail::is_utf8(argument),
                   ValueError,
                   "expected arguments in UTF-8, got '",
                   argument,
                   "'. Rename the file or folder, or lead to it by a link");
  }
}

// A variable of ours stands for an argument.
void check_environment() {
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    const std::string_view variable = *at;
    const std::string_view name = variable.substr(0, variable.find('='));
    ESPALIER_CHECK(!name.starts_with("ESPALIER_") || espalier::detail::is_utf8(variable),
                   ValueError,
                   "expected ",
                   name,
                   " in UTF-8, got '",
                   variable.substr(std::min(name.size() + 1, variable.size())),
                   "'. Rename the file or folder, or lead to it by a link");
  }
}

// An error tells what it has to say at its start; a damaged file may have made it of any length.
std::string told(const std::string& text) {
  constexpr size_t kMost = 4000;
  const std::string line = espalier::detail::printable_line(text);
  return line.size() <= kMost ? line : cat(line.substr(0, kMost), ".. (", text.size(), " bytes)");
}

// A full disk behind `> file` shows when the stream is emptied, if at all.
void check_written(Console& console) {
  console.out.flush();
  if (!console.out) throw RunFailure("can't write to the standard output; is its disk full?");
}

}  // namespace

int run_command(const std::vector<std::string>& arguments, Console& given) {
  PlainStream out(given.out);
  PlainStream err(given.err);
  Console console = given.with_guard(out, err);
  const auto fail = [&](const std::string& text, int code) {
    paint(console, Colour::Red, "espalier: ");
    console.err << told(text) << std::endl;
    return code;
  };
  try {
    check_utf8(arguments);
    check_environment();
    const int code = parse_and_run(arguments, console);
    check_written(console);
    return code;
  } catch (const Interrupted& stop) {
    std::string command = report::shell_word(console.program);
    for (const std::string& argument : arguments) command += " " + report::shell_word(argument);
    paint(console, Colour::Yellow, "interrupted ");
    console.err << stop.where << "; go on with: " << command << std::endl;
    return kExitInterrupted;
  } catch (const RunFailure& error) {
    return fail(error.what(), kExitFailed);
  } catch (const WriteError& error) {
    return fail(error.what(), kExitFailed);
  } catch (const Error& error) {
    return fail(error.what(), kExitBadUse);
  } catch (const std::bad_alloc&) {
    return fail("out of memory", kExitFailed);
  } catch (const std::filesystem::filesystem_error& error) {
    return fail(file_system_words(error), kExitBadUse);
  } catch (const std::system_error& error) {
    const bool threads = error.code() == std::errc::resource_unavailable_try_again;
    return fail(threads ? cat("can't start a thread: ",
                              error.what(),
                              ". Ask for fewer (--threads 1, --workers 0), or raise the limits of "
                              "threads and memory (ulimit -u, ulimit -v)")
                        : error.what(),
                kExitFailed);
  } catch (const nlohmann::json::exception& error) {
    return fail(cat("a value of a file is not as expected: ", espalier::detail::json_words(error)),
                kExitBadUse);
  } catch (const std::exception& error) {
    return fail(error.what(), kExitFailed);
  }
}

}  // namespace espalier::experiments
