// SPDX-License-Identifier: Apache-2.0
/// One function per verb: it adds the verb with its flags to the command and, when the verb is
/// chosen, sets `action` to what it does. To add a verb: a file here, a line below, a line in
/// command/command.cpp.
#pragma once

#include <functional>

#include <espalier/experiments/console.h>
#include <espalier/experiments/settings/verb.h>

namespace espalier::experiments::verbs {

/// What the chosen verb does, called after all flags are parsed.
using Action = std::function<void()>;

void add_doctor(const Verb& app, Console& console, Action& action);
void add_methods(const Verb& app, Console& console, Action& action);
void add_advise(const Verb& app, Console& console, Action& action);
void add_data(const Verb& app, Console& console, Action& action);
void add_train(const Verb& app, Console& console, Action& action);
void add_eval(const Verb& app, Console& console, Action& action);
void add_score(const Verb& app, Console& console, Action& action);
void add_shrink(const Verb& app, Console& console, Action& action);
void add_widen(const Verb& app, Console& console, Action& action);
void add_compress(const Verb& app, Console& console, Action& action);
void add_decompress(const Verb& app, Console& console, Action& action);
void add_quantize(const Verb& app, Console& console, Action& action);
void add_bench(const Verb& app, Console& console, Action& action);
/// `bench kernels`, a verb below `bench`.
void add_bench_kernels(const Verb& bench, Console& console, Action& action);
/// `experiment list` and `experiment run`.
void add_experiment(const Verb& app, Console& console, Action& action);
void add_verify(const Verb& app, Console& console, Action& action);
void add_report(const Verb& app, Console& console, Action& action);
void add_models(const Verb& app, Console& console, Action& action);
void add_sweep(const Verb& app, Console& console, Action& action);
void add_sensitivity(const Verb& app, Console& console, Action& action);
void add_predict(const Verb& app, Console& console, Action& action);
void add_inspect(const Verb& app, Console& console, Action& action);
void add_compare(const Verb& app, Console& console, Action& action);
void add_completion(const Verb& app, Console& console, Action& action);
void add_man(const Verb& app, Console& console, Action& action);

}  // namespace espalier::experiments::verbs
