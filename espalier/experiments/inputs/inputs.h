// SPDX-License-Identifier: Apache-2.0
/// What the verbs work on, made from their settings: data sets, loaders, kernels; and figures of a
/// network. Networks are in networks.h.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include <espalier/data/loader.h>
#include <espalier/experiments/console.h>
#include <espalier/experiments/inputs/networks.h>
#include <espalier/experiments/settings/parts.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/train/fit.h>

namespace espalier::experiments {

/// Opens a split of a data set; of the test split a fixed subset of `test_size` samples unless that
/// is 0. Throws ValueError, IoError.
std::shared_ptr<const data::Dataset> open_split(const DataSettings& settings,
                                                data::Split split,
                                                int64_t test_size = 0);
/// Prints what data sets say of how they were read (Dataset::notes), each once, to `console.err`.
void tell_notes(std::initializer_list<const data::Dataset*> datasets, Console& console);
/// data::open_dataset; the error for files that are not there tells how to get them.
std::shared_ptr<const data::Dataset> open_data(const std::string& name,
                                               data::Split split,
                                               const std::string& root,
                                               const data::OpenOptions& options);
/// True when `espalier data fetch` knows where a data set is published.
bool is_fetchable(const std::string& name);
/// True when the files of a data set are there, packed or not.
bool is_found(const data::DatasetInfo& info, const std::filesystem::path& root);
/// `train` or `test`. Throws ValueError.
data::Split parse_split(const std::string& text);

/// Sets up the kernel chooser; measured times go to `default_file` when the settings name none.
/// Throws IoError for a bad file.
void set_kernel_chooser(const KernelSettings& settings,
                        const std::filesystem::path& default_file = {});

/// Takes over a normalization that is given. Throws ValueError for a mean without a deviation, the
/// other way round, and for texts that are no lists of numbers.
void set_normalization(const Normalization& normalization, data::LoaderOptions& options);

/// Test-time batches of a data set, prepared by `workers` threads. Throws like `set_normalization`.
data::LoaderOptions evaluation_loader(const Normalization& normalization,
                                      int64_t workers,
                                      int64_t batch);

/// The network as an inference plan for `batch` images at once. Throws NotImplemented naming what a
/// plan cannot do.
nn::InferencePlan compile_network(Network& network,
                                  int64_t batch,
                                  nn::PlanFormat format = nn::PlanFormat::Auto,
                                  nn::PlanWeights weights = nn::PlanWeights::Float32);

/// Throws ValueError when the loss is no finite number: then no accuracy means anything. `what` is
/// the evaluation, as a text.
void check_evaluation(const nn::Evaluation& evaluation, const std::string& what);

/// The figures of an evaluated network under the names that `eval --json` promises; with a plan,
/// which was compiled from it, accuracy, speed and executed MACs are the plan's. Executed MACs of a
/// gated network are the mean over the images. Throws as check_evaluation.
nlohmann::ordered_json measure(Network& network,
                               data::Loader& loader,
                               const nn::InferencePlan* plan = nullptr);

/// The counts alone: `sparsity`, `params`, `params_nonzero`, `macs_dense`, `macs_effective`,
/// `macs_executed`.
nlohmann::ordered_json count_json(const nn::ModelCount& count);

}  // namespace espalier::experiments
