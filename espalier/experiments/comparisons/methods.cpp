// SPDX-License-Identifier: Apache-2.0
/// Every registered method at one budget: a new method is in the table as soon as it is registered.
#include <algorithm>
#include <optional>

#include <espalier/experiments/comparisons/comparisons.h>
#include <espalier/experiments/comparisons/gates.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/nn/models/registry.h>
#include <espalier/prune/drive/pruner.h>
#include <espalier/prune/drive/registry.h>
#include <espalier/prune/recovery/recovery.h>
#include <espalier/prune/update/update.h>

namespace espalier::experiments::comparisons::list {
namespace {

using Settings = std::map<std::string, std::string>;

/// Trains by itself, in rounds that go back: it starts from nothing.
bool brings_its_training(const prune::Method& method) {
  return prune::choose_method(method, OptionTexts()).timeline().recovery != nullptr;
}

/// Fine-tunes the dense network of the same seed. Six epochs are too few for gates and weights to
/// start together; FBS is defined on a trained network.
bool starts_trained(const prune::Method& method) {
  if (method.when == prune::When::Runtime) return true;
  return method.when == prune::When::After && !brings_its_training(method);
}

/// True if a sparsity of its channels is a share of the weights, not of the channels.
bool counts_weights(const prune::Method& method) {
  const auto update = prune::last_update_of(prune::choose_method(method, OptionTexts()).timeline());
  return update && update->allocation->sparsity_of(true) == prune::SparsityOf::Weights;
}

/// 90 % of the weights where single weights go, what the pattern says for N:M, and of channels 30
/// %, which leave about half of the multiply-accumulates (0.7 * 0.7). Methods that rank channels of
/// all layers by what their weights cost are asked for half of the weights. Gates are asked for
/// half of the multiply-accumulates.
double sparsity_of(const prune::Method& method) {
  if (method.facts().needs_blocks) return 0.5;  // of the blocks
  if (method.when == prune::When::Runtime) return sparsity_for_share(method.name, 0.5);
  if (method.speedup() == prune::Speedup::Unstructured) return 0.9;
  if (method.speedup() == prune::Speedup::SemiStructured) return 0.5;
  return method.facts().global && counts_weights(method) ? 0.5 : 0.3;
}

/// The largest number that an option may have in trainings of a few hundred steps: ten epochs of
/// 10,000 images are 790, six are 474. Nothing: its default suits them.
std::optional<int64_t> most_of(const std::string& option, const prune::Method& method) {
  if (option == "frequency") return 39;  // about half an epoch
  if (option == "batches") return 10;
  if (option == "episodes") return 50;
  if (option != "rounds") return {};
  if (brings_its_training(method)) return 3;  // each is a training
  return method.when == prune::When::After ? std::optional<int64_t>(10) : std::nullopt;
}

/// Hyper-parameters of short trainings of narrow networks, where they are not the defaults.
Settings shortened(const prune::Method& method) {
  Settings out;
  for (const Option& option : method.options) {
    const std::optional<int64_t> most = most_of(option.name, method);
    if (!most) continue;
    const int64_t usual = std::stoll(option.default_value);
    // A frequency of 0 is once an epoch.
    if (usual > *most || usual == 0) out[option.name] = std::to_string(*most);
  }
  return out;
}

/// The weights of a network that a pattern can prune.
int64_t weights_of(const std::string& pattern, nn::Module& network) {
  const auto made = prune::make_pattern(pattern);
  int64_t weights = 0;
  for (const nn::NamedParameter& one : prune::prunable_weights(network)) {
    if (made->refusal(one.parameter->shape()).empty()) weights += one.parameter->numel();
  }
  return weights;
}

/// Of a method's N:M patterns the first that most layers of the network can have: narrow ones have
/// no groups of 16.
std::string widest_cells(const prune::Method& method, nn::Module& network) {
  return *std::ranges::max_element(method.patterns, {}, [&](const std::string& pattern) {
    return weights_of(pattern, network);
  });
}

Settings settings_of(const prune::Method& method, const std::string& model, const Scale& scale) {
  Settings options = gate_options(method.name);
  if (scale.preset != Preset::Paper) options.merge(shortened(method));
  if (method.patterns.front().starts_with("n:")) {
    nn::ModelOptions built;
    if (scale.settings.contains("width")) built.width = std::stod(scale.settings.at("width"));
    options["pattern"] = widest_cells(method, *nn::make_model(model, built));
  }
  const bool has_rule =
      std::ranges::find(method.options, "ratio-rule", &Option::name) != method.options.end();
  if (has_rule && model == "vgg16") options["ratio-rule"] = "plain";  // no residual sums
  const bool cuts_channels = method.speedup() == prune::Speedup::Structured &&
                             method.when != prune::When::Runtime && !method.facts().stays;
  if (cuts_channels) options["min-per-layer"] = "1";
  return options;
}

void add_methods(Plan& plan) {
  const bool smoke = plan.scale().preset == Preset::Smoke;
  for (const int64_t seed : plan.scale().seeds) {
    for (const char* model : {"resnet20", "vgg16"}) {
      if (smoke && model != std::string("resnet20")) continue;
      const Where where = {model, plan.scale().data, seed};
      plan.dense(where);
      const bool blocks = !nn::block_sites(*nn::make_model(model)).empty();
      for (const prune::Method& method : prune::methods()) {
        if (method.facts().needs_blocks && !blocks) continue;
        Settings options = settings_of(method, model, plan.scale());
        if (options.contains("rounds")) {
          options["rounds"] = plan.rounds(std::stoll(options["rounds"]));
        }
        const double sparsity = sparsity_of(method);
        PlannedRun run = starts_trained(method)
                             ? plan.fine_tuned(where, method.name, sparsity, std::move(options))
                             : plan.pruned(where, method.name, sparsity, std::move(options));
        run.variant = prune::name(method.when);
        plan.add(std::move(run));
      }
    }
  }
}

/// Both sides must divide their budget among the layers in the same way. So SNIP is not held
/// against random (ERK), SparseGPT (uniform) not against magnitude (global), Taylor (global) not
/// against the l1 norm (uniform).
Claim claim(std::string source,
            std::string sentence,
            std::vector<std::string> higher,
            std::vector<std::string> lower) {
  return {.sentence = std::move(sentence),
          .column = "method",
          .higher = std::move(higher),
          .lower = std::move(lower),
          .within = {"model", "data", "sparsity"},
          .source = std::move(source)};
}

}  // namespace

Experiment methods() {
  return {
      .name = "methods",
      .title = "Every method at one budget",
      .section = "figure 2, the taxonomy",
      .what =
          "Each registered method removes 90 % of the weights, or channels (30 % of each layer's, "
          "or half of all weights by a global ranking; multiply-accumulates differ), or what its "
          "N:M pattern says. Each method divides its budget among the layers as it does by "
          "default, so that rows can differ by that alone; only methods that divide alike are held "
          "against each other. All runs of a network train for the same number of epochs. "
          "Methods that start from a trained network, gates among them, get the dense one of the "
          "same seed, and fine-tune for as many epochs again at a fifth of the rate; lottery "
          "tickets and rewinding repeat their own training, in three rounds. The variant tells "
          "when "
          "a method prunes. Budgets are short beside the papers': orderings can differ for that "
          "reason "
          "alone.",
      .plan = add_methods,
      .claims =
          {claim("Frankle et al., arXiv 2009.08576",
                 "Pruning before training stays below magnitude pruning after training (which here "
                 "trains twice as long).",
                 {"magnitude"},
                 {"snip", "grasp", "synflow"}),
           claim("Evci et al., arXiv 1911.11134",
                 "RigL is better than SET, which grows at random.",
                 {"rigl"},
                 {"set"}),
           claim("Evci et al., arXiv 1911.11134",
                 "Sparse training that moves connections is better than a fixed random mask.",
                 {"rigl", "set"},
                 {"random"}),
           claim("Renda et al., arXiv 2003.02389",
                 "Learning-rate rewinding is better than fine-tuning at a small rate.",
                 {"rewinding"},
                 {"magnitude"}),
           claim("He et al., arXiv 1811.00250",
                 "The geometric median chooses better filters than their norm.",
                 {"fpgm"},
                 {"sfp"})},
      .speeds = true,
      // VGG-16, whose epoch takes three times as long, keeps the scale's six.
      .quick = {{"resnet20", {{"epochs", "10"}}}},
  };
}

}  // namespace espalier::experiments::comparisons::list
