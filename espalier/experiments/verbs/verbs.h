// SPDX-License-Identifier: Apache-2.0
/// One function per verb: it adds the verb with its flags to the command and, when the verb is
/// chosen, sets `action` to what it does. To add a verb: a file here, a line below, a line in
/// command.cpp.
#pragma once

#include <functional>

#include <CLI/CLI.hpp>

#include <espalier/experiments/console.h>

namespace espalier::experiments {

/// What the chosen verb does, called after all flags are parsed.
using Action = std::function<void()>;

void add_doctor(CLI::App& app, Console& console, Action& action);
void add_methods(CLI::App& app, Console& console, Action& action);
void add_data(CLI::App& app, Console& console, Action& action);
void add_train(CLI::App& app, Console& console, Action& action);
void add_eval(CLI::App& app, Console& console, Action& action);
void add_score(CLI::App& app, Console& console, Action& action);
void add_shrink(CLI::App& app, Console& console, Action& action);
void add_widen(CLI::App& app, Console& console, Action& action);
void add_compress(CLI::App& app, Console& console, Action& action);
void add_decompress(CLI::App& app, Console& console, Action& action);
void add_quantize(CLI::App& app, Console& console, Action& action);
void add_bench(CLI::App& app, Console& console, Action& action);
/// `bench kernels`, a verb below `bench`.
void add_bench_kernels(CLI::App& bench, Console& console, Action& action);
/// `experiment list` and `experiment run`.
void add_experiment(CLI::App& app, Console& console, Action& action);
void add_verify(CLI::App& app, Console& console, Action& action);
void add_report(CLI::App& app, Console& console, Action& action);

}  // namespace espalier::experiments
