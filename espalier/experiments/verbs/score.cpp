// SPDX-License-Identifier: Apache-2.0
/// `espalier score`: a method's raw scores for given weights and a given batch, as safetensors.
#include <memory>
#include <ostream>

#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/finite.h>
#include <espalier/core/parallel.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/run/outputs.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/method_options.h>
#include <espalier/experiments/verbs/verbs.h>
#include <espalier/prune/drive/registry.h>

namespace espalier::experiments::verbs {
namespace {

constexpr int64_t kMostClasses = 1 << 20;

struct ScoreFlags {
  GivenOptions given;
  std::string method;
  std::string weights;
  std::string batch;
  std::string out;
};

struct ScoreSettings {
  NetworkSettings network = {};
  int64_t classes = 10;
  int64_t seed = 0;
  MachineSettings machine = {};
};

const OptionTable<ScoreSettings>& score_table() {
  using S = ScoreSettings;
  static const OptionTable<S> table =
      OptionTable<S>()
          .include(&S::network, network_table())
          .add({&S::classes,
                "classes",
                {1, kMostClasses},
                "",
                "outputs of the network (files of ours tell it)"})
          .add({&S::seed, "seed", {0, 1e9}, "", "of methods that draw"})
          .include(&S::machine, threads_table());
  return table;
}

// A batch file: `images` (N,C,H,W) float32, normalized already, and `labels` (N) int64.
data::Batch load_batch(const std::string& path) {
  const SafetensorsFile file = load_safetensors(path);
  check_finite(file.tensors, path);
  for (const char* name : {"images", "labels"}) check_readable(file, name, path);
  const auto images = file.tensors.find("images");
  const auto labels = file.tensors.find("labels");
  ESPALIER_CHECK(images != file.tensors.end() && labels != file.tensors.end(),
                 IoError,
                 path,
                 ": expects tensors 'images' and 'labels'");
  const Tensor& x = images->second;
  const Tensor& y = labels->second;
  ESPALIER_CHECK(x.dtype() == DType::F32 && x.rank() == 4 && x.numel() > 0,
                 IoError,
                 path,
                 ": 'images' must be float32 (N,C,H,W) with at least one image, got ",
                 x);
  ESPALIER_CHECK(y.dtype() == DType::I64 && y.shape() == Shape{x.size(0)},
                 IoError,
                 path,
                 ": 'labels' must be int64 (",
                 x.size(0),
                 "), got ",
                 y);
  return {x.to(Layout::Nchw16n), y};
}

void check_labels(const data::Batch& batch, int64_t classes, const std::string& path) {
  const int64_t* labels = batch.labels.data<int64_t>();
  for (int64_t i = 0; i < batch.size(); ++i) {
    ESPALIER_CHECK(labels[i] >= 0 && labels[i] < classes,
                   IoError,
                   path,
                   ": label ",
                   labels[i],
                   " of sample ",
                   i,
                   " is outside of 0 .. ",
                   classes - 1);
  }
}

Network open_network(const ScoreFlags& flags,
                     const ScoreSettings& settings,
                     const data::Batch& batch) {
  Network network;
  network.name = nn::canonical_model_name(settings.network.model);
  network.options.num_classes = settings.classes;
  network.options.image = {batch.images.size(1), batch.images.size(2), batch.images.size(3)};
  network.options.width = settings.network.width;
  network.options.shortcut = settings.network.shortcut;
  network.options.stem = settings.network.stem;
  network.options.seed = static_cast<uint64_t>(settings.seed);
  if (!flags.weights.empty() && tells_its_network(flags.weights)) {
    network = load_network(flags.weights);
    check_asked_network(
        "score", asked_of_network(settings.network, flags.given.names()), network, flags.weights);
    ESPALIER_CHECK(
        flags.given.find("classes") == nullptr || settings.classes == network.options.num_classes,
        ValueError,
        "score: --classes ",
        settings.classes,
        " was asked for, but the network of ",
        flags.weights,
        " has ",
        network.options.num_classes,
        "; leave the option out");
    ESPALIER_CHECK(network.sample() ==
                       (Shape{batch.images.size(1), batch.images.size(2), batch.images.size(3)}),
                   ValueError,
                   flags.batch,
                   ": images are ",
                   batch.images.shape(),
                   ", but the network of ",
                   flags.weights,
                   " reads ",
                   network.sample());
    return network;
  }
  check_choices(network);
  network.module = nn::make_model(network.name, network.options);
  return flags.weights.empty() ? std::move(network)
                               : load_network(flags.weights, std::move(network));
}

void score(const ScoreFlags& flags, Console& console) {
  const ScoreSettings settings =
      score_table().read("score", flags.given.given_of(score_table().options()));
  set_num_threads(static_cast<int>(settings.machine.threads));
  check_outputs("score", {{"--out", flags.out, FileKind::Scores}}, {flags.batch, flags.weights});
  const prune::Method& method = prune::method(flags.method);
  const prune::MethodChoice choice =
      prune::choose_method(method, flags.given.given_of(options_of_any_method()));
  data::Batch batch = load_batch(flags.batch);
  Network network = open_network(flags, settings, batch);
  check_labels(batch, network.options.num_classes, flags.batch);
  prune::PruneInputs inputs;
  inputs.batch = [&batch](int64_t) { return batch; };
  inputs.single_batch = true;
  inputs.input_shape = network.sample();
  inputs.seed = static_cast<uint64_t>(settings.seed);

  SafetensorsFile file;
  file.tensors = prune::raw_scores(choice, *network.module, inputs);
  file.metadata = {{"method", method.name}, {"model", network.name}};
  while_writing([&] { save_safetensors(flags.out, file); });
  console.out << fmt::format(
      "{} scores of {} parameters: {}\n", method.name, file.tensors.size(), flags.out);
}

}  // namespace

void add_score(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb("score",
                                 "A method's raw scores for given weights and a given batch, "
                                 "as safetensors. Gates and methods "
                                 "that rebuild layers have none.");
  const auto flags = std::make_shared<ScoreFlags>();
  verb.add_option("--method,method",
                  flags->method,
                  "the pruning method; required, in this place or as --method")
      .option_text("NAME")
      .required();
  verb.add_option("--inputs,--batch",
                  flags->batch,
                  "safetensors with 'images' (N,C,H,W) float32, normalized, and 'labels' int64")
      .type_name("FILE")
      .required();
  verb.add_option("--weights",
                  flags->weights,
                  "weights, safetensors or .edc; without: the initial ones of --seed")
      .type_name("FILE");
  verb.add_option("--out", flags->out, "where the scores go").type_name("FILE").required();
  flags->given.declare(verb, score_table().options(), "Network");
  flags->given.declare(verb, prune::prune_settings().options(), "Pruning, with any method");
  flags->given.declare(verb, options_of_any_method(), "");
  verb.footer([flags] { return method_help("score", flags->method); });
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { score(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
