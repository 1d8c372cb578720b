// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/advise/commands.h>

#include <algorithm>

#include <fmt/format.h>

#include <espalier/experiments/comparisons/gates.h>

namespace espalier::experiments::advise {
namespace {

using prune::BudgetKind;
using Arguments = std::vector<std::string>;

constexpr const char* kTraining = "30";          // epochs of a whole training, as `train` has it
constexpr const char* kFineTuning = "10";        // epochs
constexpr const char* kFineTuningRate = "0.02";  // a fifth of the training's

void add(Arguments& out, const Arguments& more) {
  out.insert(out.end(), more.begin(), more.end());
}

std::string text(double value) {
  return fmt::format("{}", value);
}

Arguments how_much(const Candidate& candidate, const Question& question) {
  const std::optional<prune::Target>& target = question.target;
  if (candidate.n_m) {
    // Where the method finds N, it must be told how much goes.
    return candidate.pattern.starts_with("n:") ? Arguments{"--sparsity", "0.5"} : Arguments{};
  }
  if (!target) {
    const bool by_cost = candidate.cuts || candidate.gates || candidate.factors;
    return by_cost && candidate.meets
               ? Arguments{"--target", prune::text_of({prune::BudgetKind::Macs, kUsualShare})}
               : Arguments{"--sparsity", text(candidate.cuts ? 1.0 - kUsualShare : kUsualSparsity)};
  }
  // A sparsity of channels counts channels in some methods; a target counts weights in all.
  if (target->kind == BudgetKind::Sparsity && !(candidate.cuts && candidate.meets)) {
    return {"--sparsity", text(target->share)};
  }
  return {"--target", prune::text_of(*target)};
}

Arguments of_method(const Candidate& candidate, const Question& question) {
  Arguments out;
  if (!candidate.by_design) out = {"--pattern", candidate.pattern};
  if (candidate.cuts) add(out, {"--min-per-layer", "1"});
  const bool has_rule = std::ranges::find(candidate.method->options, "ratio-rule", &Option::name) !=
                        candidate.method->options.end();
  // Its rule for residual networks is the default.
  if (has_rule && question.network.known && !question.network.blocks) {
    add(out, {"--ratio-rule", "plain"});
  }
  if (candidate.gates && question.answers.training == Training::Some) {
    for (const auto& [name, value] : comparisons::gate_options(candidate.method->name)) {
      add(out, {"--" + name, value});
    }
  }
  return out;
}

Arguments how_long(const Candidate& candidate, const Question& question) {
  if (question.answers.training == Training::None) return {"--epochs", "0"};
  if (question.answers.training == Training::Some) {
    return {"--epochs", kFineTuning, "--lr", kFineTuningRate};
  }
  if (candidate.starts_trained) return {"--epochs", kTraining, "--lr", kFineTuningRate};
  return {"--epochs", kTraining};
}

/// Where labels are few, a trained network teaches; where there are none, it alone does.
Arguments teacher(const Question& question, const std::string& dense) {
  if (question.answers.training == Training::None) return {};
  if (question.answers.labels == Labels::Few) return {"--distill-from", dense};
  if (question.answers.labels == Labels::None) {
    return {"--distill-from", dense, "--distill-weight", "1"};
  }
  return {};
}

std::string quoted(const std::string& argument) {
  const std::string plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=:,+@%";
  if (!argument.empty() && argument.find_first_not_of(plain) == std::string::npos) return argument;
  std::string out = "'";
  for (const char c : argument) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

std::vector<Step> steps_for(const Candidate& candidate, const Question& question) {
  const Answers& answers = question.answers;
  const std::string& name = candidate.method->name;
  const std::string model = answers.model.empty() ? "resnet20" : answers.model;
  const Arguments network = {"--model", model, "--data", answers.data};
  const std::string dense =
      answers.weights.empty() ? "runs/dense/model.safetensors" : answers.weights;
  const bool has_dense = answers.trained != Trained::No;
  const Arguments taught =
      candidate.starts_trained || has_dense ? teacher(question, dense) : Arguments{};
  std::vector<Step> steps;
  if ((candidate.starts_trained || !taught.empty()) && answers.trained != Trained::Yes) {
    Step train{"a dense network, unless there is one", {"train"}};
    add(train.arguments, network);
    add(train.arguments, {"--epochs", kTraining, "--out", "runs/dense"});
    steps.push_back(std::move(train));
  }
  Step prune{"prune it", {"train"}};
  add(prune.arguments, network);
  if (candidate.starts_trained) add(prune.arguments, {"--weights", dense});
  add(prune.arguments, {"--prune", name});
  for (const Arguments& part : {how_much(candidate, question),
                                of_method(candidate, question),
                                how_long(candidate, question),
                                taught}) {
    add(prune.arguments, part);
  }
  add(prune.arguments, {"--out", "runs/" + name});
  steps.push_back(std::move(prune));
  std::string out = "runs/" + name + "/model.safetensors";
  if (candidate.cuts) {
    const std::string small = "runs/" + name + "_small.safetensors";
    steps.push_back({"cut the channels out", {"shrink", "--weights", out, "--out", small}});
    out = small;
  }
  if (question.target && question.target->kind == BudgetKind::Bytes) {
    steps.push_back({"pack it", {"compress", "--weights", out, "--out", "runs/" + name + ".edc"}});
  }
  steps.push_back({"what it is worth, compiled to a plan",
                   {"eval",
                    "--weights",
                    out,
                    "--data",
                    answers.data,
                    "--compiled",
                    "--plan",
                    "runs/" + name + ".plan"}});
  if (!candidate.gates) {
    steps.push_back({candidate.cuts ? "its speed in batches"
                                    : "its speed, beside the same network without masks",
                     {"bench", "infer", "--compiled", "--weights", out}});
  }
  return steps;
}

std::string command_line(const Step& step) {
  std::string out = "espalier";
  for (const std::string& argument : step.arguments) out += " " + quoted(argument);
  return out;
}

}  // namespace espalier::experiments::advise
