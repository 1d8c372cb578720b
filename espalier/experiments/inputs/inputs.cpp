// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/inputs/inputs.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ostream>
#include <set>

#include <nlohmann/json.hpp>

#include <espalier/core/mac_counter.h>
#include <espalier/data/fetch.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/sparse/choice/chooser.h>

namespace espalier::experiments {
namespace {

// What can be done about files that are not in `root`.
std::string how_to_get(const std::string& name, const std::string& root) {
  const std::string elsewhere = root == default_data_root() ? "" : " --data-root " + root;
  return cat(is_fetchable(name)
                 ? cat("Get it with `espalier data fetch ", name, elsewhere, "`, or tell")
                 : "Tell",
             " where it is with --data-root or the environment variable ESPALIER_DATA");
}

}  // namespace

std::shared_ptr<const data::Dataset> open_split(const DataSettings& settings,
                                                data::Split split,
                                                int64_t test_size) {
  const auto seed = static_cast<uint64_t>(settings.data_seed);
  auto dataset = open_data(settings.data,
                           split,
                           settings.data_root,
                           {.seed = seed,
                            .allow_empty_classes = settings.allow_empty_classes,
                            .context = settings.context,
                            .image_size = settings.image_size});
  if (split != data::Split::Test || test_size == 0) return dataset;
  return data::subset(std::move(dataset), test_size, seed);
}

void tell_notes(std::initializer_list<const data::Dataset*> datasets, Console& console) {
  std::set<std::string> told;
  for (const data::Dataset* dataset : datasets) {
    for (const std::string& note : dataset->notes()) {
      if (told.insert(note).second) console.err << "note: " << note << '\n';
    }
  }
}

std::shared_ptr<const data::Dataset> open_data(const std::string& name,
                                               data::Split split,
                                               const std::string& root,
                                               const data::OpenOptions& options) {
  try {
    return data::open_dataset(name, split, root, options);
  } catch (const IoError& error) {
    for (const data::DatasetInfo& info : data::known_datasets()) {
      if (info.name != name || is_found(info, root)) continue;
      throw IoError(cat(error.what(), ". ", how_to_get(name, root)));
    }
    throw;
  }
}

bool is_fetchable(const std::string& name) {
  const auto& published = data::remote_datasets();
  return std::any_of(published.begin(), published.end(), [&](const data::RemoteDataset& remote) {
    return remote.name == name;
  });
}

bool is_found(const data::DatasetInfo& info, const std::filesystem::path& root) {
  return info.first_file.empty() || data::find_dataset(info, root).has_value();
}

data::Split parse_split(const std::string& text) {
  if (text == "train") return data::Split::Train;
  if (text == "test") return data::Split::Test;
  throw ValueError(cat("split: expects train or test, got '", text, "'"));
}

void set_kernel_chooser(const KernelSettings& settings, const std::filesystem::path& default_file) {
  const bool measure = settings.kernels == KernelChoice::Measured;
  const std::filesystem::path given = settings.kernel_times;
  const std::filesystem::path& file = given.empty() ? default_file : given;
  sparse::set_chooser_options({.measure = measure,
                               .file = measure ? file : std::filesystem::path(),
                               .require_sparse = settings.require_sparse});
  set_conv2d_algorithm(settings.dense);
}

void set_normalization(const Normalization& normalization, data::LoaderOptions& options) {
  ESPALIER_CHECK(normalization.mean.empty() == normalization.stddev.empty(),
                 ValueError,
                 "--mean and --std come together");
  const auto channels = [&](const std::string& option, const std::string& text) {
    const std::vector<double> numbers = parse_numbers(option, text);
    return std::vector<float>(numbers.begin(), numbers.end());
  };
  options.mean = channels("mean", normalization.mean);
  options.stddev = channels("std", normalization.stddev);
}

data::LoaderOptions evaluation_loader(const Normalization& normalization,
                                      int64_t workers,
                                      int64_t batch) {
  data::LoaderOptions options;
  options.batch_size = batch;
  options.workers = static_cast<int>(workers);
  set_normalization(normalization, options);
  return options;
}

nlohmann::ordered_json count_json(const nn::ModelCount& count) {
  return {{"sparsity", count.sparsity()},
          {"params", count.total.params},
          {"params_nonzero", count.total.params_nonzero},
          {"macs_dense", count.total.macs_dense},
          {"macs_effective", count.total.macs_effective},
          {"macs_executed", count.total.macs_executed}};
}

nn::InferencePlan compile_network(Network& network,
                                  int64_t batch,
                                  nn::PlanFormat format,
                                  nn::PlanWeights weights) {
  return nn::compile(*network.module,
                     nn::example_input(network.name, network.options),
                     {.batch = batch, .format = format, .weights = weights});
}

void check_evaluation(const nn::Evaluation& evaluation, const std::string& what) {
  ESPALIER_CHECK(std::isfinite(evaluation.loss),
                 ValueError,
                 what,
                 ": the loss over ",
                 evaluation.total,
                 " samples is ",
                 evaluation.loss,
                 "; expected a finite number. Did training diverge, or are the inputs scaled other "
                 "than in training?");
}

nlohmann::ordered_json measure(Network& network,
                               data::Loader& loader,
                               const nn::InferencePlan* plan) {
  const MacCounter executed;
  const auto start = std::chrono::steady_clock::now();
  const nn::Evaluation evaluation =
      plan == nullptr
          ? nn::evaluate(*network.module, loader)
          : nn::evaluate([&](const Tensor& images) { return plan->run(images); }, loader);
  check_evaluation(evaluation, "evaluation");
  const int64_t macs = executed.macs();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  nlohmann::ordered_json out = {{"accuracy", evaluation.accuracy()},
                                {"correct", evaluation.correct},
                                {"total", evaluation.total},
                                {"loss", evaluation.loss}};
  const bool text = nn::model_input(network.name) == nn::InputKind::Tokens;
  if (text) out["perplexity"] = std::exp(evaluation.loss);
  out.update(count_json(nn::count_model(*network.module, network.sample())));
  if (nn::is_gated(*network.module) && evaluation.total > 0) {  // the images decide
    out["macs_executed"] = macs / evaluation.total;
  } else if (plan != nullptr) {
    out["macs_executed"] = plan->macs();
  }
  // Of texts `total` counts tokens.
  const double a_second = seconds > 0.0 ? static_cast<double>(evaluation.total) / seconds : 0.0;
  if (text) out["tokens_per_second"] = a_second;
  out["images_per_second"] =
      text ? a_second / static_cast<double>(network.options.context) : a_second;
  return out;
}

}  // namespace espalier::experiments
