// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/command.h>

#include <new>
#include <ostream>

#include <CLI/CLI.hpp>

#include <espalier/experiments/failure.h>
#include <espalier/experiments/machine.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments {
namespace {

int parse_and_run(const std::vector<std::string>& arguments, Console& console) {
  CLI::App app("Espalier: train neural networks, prune them, and measure what it gains.",
               "espalier");
  app.set_version_flag("--version", "espalier " + version());
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  Action action;
  for (const auto& add : {add_doctor,
                          add_methods,
                          add_data,
                          add_train,
                          add_eval,
                          add_bench,
                          add_score,
                          add_shrink,
                          add_quantize,
                          add_compress,
                          add_decompress,
                          add_report}) {
    add(app, console, action);
  }
  if (!arguments.empty() && !arguments[0].starts_with("-")) {
    const auto named =
        app.get_subcommands([&](const CLI::App* verb) { return verb->get_name() == arguments[0]; });
    ESPALIER_CHECK(
        !named.empty(), ValueError, "no verb '", arguments[0], "'; `espalier --help` lists them");
  }
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    const bool wanted = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);
    app.exit(error, console.out, console.err);
    return wanted ? kExitOk : kExitBadUse;
  }
  action();
  return kExitOk;
}

}  // namespace

int run_command(const std::vector<std::string>& arguments, Console& console) {
  const auto fail = [&](const char* text, int code) {
    console.err << "espalier: " << text << '\n';
    return code;
  };
  try {
    return parse_and_run(arguments, console);
  } catch (const RunFailure& error) {
    return fail(error.what(), kExitFailed);
  } catch (const Error& error) {
    return fail(error.what(), kExitBadUse);
  } catch (const std::bad_alloc&) {
    return fail("out of memory", kExitFailed);
  } catch (const std::exception& error) {
    return fail(error.what(), kExitFailed);
  }
}

}  // namespace espalier::experiments
