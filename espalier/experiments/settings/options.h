// SPDX-License-Identifier: Apache-2.0
/// The settings of all verbs, each declared once: name, default, range, unit, help. Flags, TOML
/// keys, help and run.json are made from these lists.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <espalier/experiments/settings/option_values.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments {

/// `model`, `shortcut`, `width`.
std::vector<Option> model_options();
/// `data`, `data-root`, `data-seed`, `allow-empty-classes`, `other-classes`.
std::vector<Option> data_set_options();
/// Those and `test-size`.
std::vector<Option> data_options();
/// `mean`, `std`: of weights trained elsewhere.
std::vector<Option> normalization_options();
/// `threads`, `workers`: how fast, never what comes out.
std::vector<Option> machine_options();
/// `kernels`, `kernel-times`, `require-sparse`: how kernels of masked layers are chosen.
std::vector<Option> kernel_options();
/// The flag `masks-from-zeros` of verbs that read weights.
Option masks_from_zeros_option();
/// How `train` trains: epochs, optimizer, schedule, augmentation, seed, ..
std::vector<Option> training_options();
/// Where `train` starts from and writes to, and which method prunes: `weights`,
/// `masks-from-zeros`, `distill-from`, `mask-from`, `elastic`, `out`, `checkpoint-every`,
/// `allow-other-simd`, `prune`, `scoring-input`.
std::vector<Option> run_options();
/// All of the above: what `train` has besides the options of pruning methods.
std::vector<Option> train_options();
/// The options of all registered methods and those they have in common, each once, for help. Texts
/// begin with the methods that have it. Where their declarations differ: the choices of all, and as
/// default a text for people.
std::vector<Option> pruning_options();
/// Those that one method takes: the common ones and its own. Throws ValueError for an unknown name.
std::vector<Option> method_options(const std::string& method);

/// True for settings that can't change what a run computes: threads, places, checkpoints. They may
/// differ when a run is continued.
bool is_incidental(const std::string& option);

/// Values as JSON of their kind (numbers, booleans, texts), in the order of declaration.
nlohmann::ordered_json to_json(const OptionValues& values);
/// The same of texts that were read: those of `options`, in their order; an empty one that is no
/// text is null.
nlohmann::ordered_json to_json(const std::vector<Option>& options, const OptionTexts& texts);
/// The same of a pruning method's settings.
nlohmann::ordered_json to_json(const prune::MethodChoice& choice);

/// The data root when none is given: the environment variable ESPALIER_DATA, else `data`.
std::string default_data_root();

/// The numbers of a comma-separated list. Throws ValueError naming `option`.
std::vector<double> parse_numbers(const std::string& option, const std::string& text);

}  // namespace espalier::experiments
