// SPDX-License-Identifier: Apache-2.0
/// `espalier predict`: what a network says of pictures.
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/parallel.h>
#include <espalier/data/pictures.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/predict/predictions.h>
#include <espalier/experiments/run/outputs.h>
#include <espalier/experiments/run/run_weights.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct PredictFlags {
  GivenOptions given;
  std::vector<std::string> images;
  bool json = false;
};

struct PredictSettings {
  std::string weights = {};
  std::string model = {};
  int64_t top = 5;
  int64_t batch = 64;
  DataSettings data = {};
  Normalization normalization = {};
  MachineSettings machine = {};
};

const OptionTable<PredictSettings>& own_table() {
  using S = PredictSettings;
  static const OptionTable<S> table = {
      {&S::weights, "weights", "a run folder, or a file: safetensors, .edc, a compiled plan"},
      {&S::model, "model", "the network of weights from elsewhere, by its name in the model zoo"},
      {&S::top, "top", {1, 65536}, "", "how many classes are told"},
      {&S::batch, "batch", {1, 65536}, "", "pictures at once"},
  };
  return table;
}

const OptionTable<PredictSettings>& predict_table() {
  using S = PredictSettings;
  static const OptionTable<S> table = OptionTable<S>(own_table())
                                          .include(&S::data, data_table())
                                          .include(&S::normalization, normalization_table())
                                          .include(&S::machine, machine_table());
  return table;
}

// What a picture must look like for the network: told by flags, by the data set that it was trained
// on, and by that which its run names.
data::PicturesOptions pictures_for(const PredictSettings& settings,
                                   const std::set<std::string>& given,
                                   const fs::path& weights,
                                   const Shape& sample,
                                   std::vector<std::string> classes,
                                   Normalization& normalization) {
  ESPALIER_CHECK(sample.rank() == 3,
                 ValueError,
                 "predict: expects a network that reads images (C,H,W), got one that reads ",
                 sample);
  data::PicturesOptions out{.shape = {sample[0], sample[1], sample[2]},
                            .class_names = std::move(classes)};
  const std::optional<TrainSettings> run = settings_beside(weights);
  normalization = settings.normalization;
  if (run && normalization.mean.empty()) normalization = run->normalization;
  if (!normalization.mean.empty() || !normalization.stddev.empty()) {
    data::LoaderOptions told;
    set_normalization(normalization, told);
    out.mean = told.mean;
    out.stddev = told.stddev;
  }
  if (out.mean.empty() || out.class_names.empty()) {
    const bool named = given.contains("data");
    ESPALIER_CHECK(named || run || !out.mean.empty(),
                   ValueError,
                   "predict: expected to know how pixels were normalized in training, got weights "
                   "that do not tell. Give --data NAME, the data set that they were trained on, or "
                   "--mean and --std");
    if (named || run) {
      DataSettings data = named ? settings.data : run->data;
      if (given.contains("data-root")) data.data_root = settings.data.data_root;
      const auto dataset = open_split(data, data::Split::Test);
      if (out.mean.empty()) out.mean = dataset->mean();
      if (out.stddev.empty()) out.stddev = dataset->stddev();
      if (out.class_names.empty()) out.class_names = dataset->class_names();
    }
  }
  return out;
}

std::vector<std::string> numbered(int64_t classes) {
  std::vector<std::string> out;
  for (int64_t c = 0; c < classes; ++c) out.push_back(cat("class ", c));
  return out;
}

Json images_json(const std::vector<std::string>& paths,
                 const Predictions& found,
                 const std::vector<std::string>& names) {
  Json out = Json::array();
  for (size_t i = 0; i < paths.size(); ++i) {
    Json classes = Json::array();
    for (const LikelyClass& one : found.images[i]) {
      classes.push_back({{"class", names[static_cast<size_t>(one.index)]},
                         {"index", one.index},
                         {"probability", one.probability}});
    }
    out.push_back({{"path", paths[i]}, {"classes", std::move(classes)}});
  }
  return out;
}

std::string images_text(const Json& json) {
  std::string out;
  for (const Json& image : json.at("images")) {
    std::vector<std::vector<std::string>> rows = {{"probability", "class"}};
    for (const Json& one : image.at("classes")) {
      rows.push_back({fmt::format("{:.2f} %", 100.0 * one.at("probability").get<double>()),
                      one.at("class").get<std::string>()});
    }
    out += image.at("path").get<std::string>() + "\n" + text_table(rows) + "\n";
  }
  return out + fmt::format("{:.2f} ms an image, without decoding\n",
                           json.at("milliseconds_per_image").get<double>());
}

void run(const PredictFlags& flags, Console& console) {
  const PredictSettings settings = predict_table().read("predict", flags.given.given());
  const std::set<std::string> given = flags.given.names();
  ESPALIER_CHECK(!settings.weights.empty(),
                 ValueError,
                 "predict: expected --weights, a run folder or a file; got none");
  set_num_threads(static_cast<int>(settings.machine.threads));
  const fs::path weights = weights_at(settings.weights);
  const bool compiled = file_kind(weights) == FileKind::Plan;
  std::optional<nn::InferencePlan> plan;
  std::optional<Network> network;
  Shape sample;
  std::vector<std::string> classes;
  if (compiled) {
    plan = nn::InferencePlan::load(weights);
    sample = plan->input_shape();
  } else {
    network = load_network(
        "predict", weights, settings.model, {.image_size = settings.data.image_size}, given);
    sample = network->sample();
    classes = network->options.class_names;
  }
  const int64_t outputs = plan ? plan->output_shape().numel() : network->options.num_classes;
  Normalization normalization;
  data::PicturesOptions pictures =
      pictures_for(settings, given, weights, sample, std::move(classes), normalization);
  if (pictures.class_names.empty()) pictures.class_names = numbered(outputs);
  ESPALIER_CHECK(static_cast<int64_t>(pictures.class_names.size()) == outputs,
                 ValueError,
                 "predict: expected names for the ",
                 outputs,
                 " classes of ",
                 weights.string(),
                 ", got a data set of ",
                 pictures.class_names.size());
  const std::vector<std::string> names = pictures.class_names;
  const auto dataset =
      data::open_pictures({flags.images.begin(), flags.images.end()}, std::move(pictures));
  const data::LoaderOptions options =
      evaluation_loader(normalization, settings.machine.workers, settings.batch);
  const Predictions found = while_running([&] {
    return plan ? predict(
                      [&](const Tensor& x) { return plan->run(x); }, dataset, options, settings.top)
                : predict(*network->module, dataset, options, settings.top);
  });
  const Json json = {{"weights", weights.string()},
                     {"model", network ? network->name : "plan"},
                     {"images", images_json(flags.images, found, names)},
                     {"milliseconds_per_image", found.milliseconds}};
  console.out << (flags.json ? json.dump(2) + "\n" : images_text(json));
}

}  // namespace

void add_predict(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb("predict", "What a trained network says of pictures.");
  const auto flags = std::make_shared<PredictFlags>();
  verb.add_option("images", flags->images, "pictures: .png, .jpg, .webp, .bmp")
      .option_text("IMAGE ...")
      .required();
  flags->given.declare(verb, own_table().options(), "Prediction");
  flags->given.declare(verb, normalization_table().options(), "Prediction");
  flags->given.declare(
      verb, data_table().options(), "Data that it was trained on (a run tells it)");
  flags->given.declare(verb, machine_table().options(), "Machine");
  show_required(verb, "weights");
  verb.add_flag("--json", flags->json, "print the classes as JSON");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { run(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
