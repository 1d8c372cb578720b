// SPDX-License-Identifier: Apache-2.0
// Decisions on blocks: which steps they guard, and what must hold of decisions, guards and joins.
#include <algorithm>

#include <espalier/nn/plan/steps/graph.h>

namespace espalier::nn::plan {
namespace {

constexpr int kNobody = -1;

/// By storage: the step that makes it, and those that need it.
struct Uses {
  explicit Uses(const Graph& graph) : maker(graph.values.size(), kNobody), readers(maker.size()) {
    const auto storage = [&](int value) { return static_cast<size_t>(graph.value(value).storage); };
    const auto steps = static_cast<int>(graph.steps.size());
    for (int s = 0; s < steps; ++s) {
      const Step& step = graph.steps[static_cast<size_t>(s)];
      maker[storage(step.output)] = s;
      for (const int input : step.inputs) readers[storage(input)].push_back(s);
      for (const int decision : {step.guard, step.join}) {
        if (decision >= 0) readers[storage(decision)].push_back(s);
      }
    }
    readers[storage(graph.output)].push_back(steps);  // who calls
  }
  std::vector<int> maker;
  std::vector<std::vector<int>> readers;
};

/// Guards the steps before `join` that only its branch needs.
void guard_branch(Graph& graph, const Uses& uses, int join) {
  const Step& joined = graph.steps[static_cast<size_t>(join)];
  const auto storage = [&](int value) { return static_cast<size_t>(graph.value(value).storage); };
  const int decided = uses.maker[storage(joined.join)];
  std::vector<bool> inside(graph.steps.size() + 1);
  for (int s = join - 1; s > decided; --s) {
    Step& step = graph.steps[static_cast<size_t>(s)];
    const size_t made = storage(step.output);
    const std::vector<int>& readers = uses.readers[made];
    const bool only_branch = std::ranges::all_of(readers, [&](int reader) {
      const bool joins = reader == join && storage(joined.inputs[1]) != made;
      return joins || inside[static_cast<size_t>(reader)];
    });
    if (!only_branch || readers.empty()) continue;
    inside[static_cast<size_t>(s)] = true;
    // Steps of a branch within the branch have a guard that is closed with this one.
    if (step.guard < 0) step.guard = joined.join;
  }
}

void check(bool holds, const Step& step, std::string_view what) {
  ESPALIER_CHECK(holds, ValueError, "plan: step ", step.name, " ", what);
}

bool is_matrix(const Tensor& matrix, int64_t columns) {
  return matrix.defined() && matrix.dtype() == DType::F32 && matrix.rank() == 2 &&
         matrix.size(0) >= 1 && matrix.size(1) == columns;
}

bool fits(const Tensor& bias, const Tensor& matrix) {
  return bias.defined() && bias.dtype() == DType::F32 && bias.shape() == Shape{matrix.size(0)};
}

void check_decision(const Graph& graph, const Step& step) {
  const Shape& in = graph.value(step.inputs[0]).shape;
  const BlockRule& rule = step.rule;
  check(in.rank() == 3 && graph.value(step.output).shape == Shape{1} && !step.limits.any(),
        step,
        "decides on planes (C,H,W), by one number without limits");
  int64_t columns = in[0];
  if (rule.hidden.defined()) {
    check(is_matrix(rule.hidden, columns) && fits(rule.hidden_bias, rule.hidden),
          step,
          "decides by a hidden layer that does not fit its input");
    columns = rule.hidden.size(0);
  }
  check(is_matrix(rule.weight, columns) && rule.weight.size(0) <= 2 &&
            fits(rule.bias, rule.weight) && rule.least == rule.least,
        step,
        "decides by a weight that does not fit its input");
}

class GuardCheck {
 public:
  explicit GuardCheck(const Graph& graph)
      : graph_(graph),
        guard_of_(graph.values.size(), kNone),
        needs_(graph.values.size(), kNobody) {}

  void run() {
    for (const Step& step : graph_.steps) {
      check(step.guard < 0 || is_decision(step.guard),
            step,
            "has a guard that nothing decided before");
      check(
          step.join < 0 || is_decision(step.join), step, "has a join that nothing decided before");
      check(step.join < 0 || ((step.kind == StepKind::Add || step.kind == StepKind::Product) &&
                              step.inputs.size() == 2),
            step,
            "has a join, but no shortcut");
      for (size_t i = 0; i < step.inputs.size(); ++i) {
        const int needed = needs_[storage(step.inputs[i])];
        const bool joins = i == 0 && step.join >= 0 && closes_with(step.join, needed);
        check(joins || closes_with(step.guard, needed),
              step,
              "reads what a closed branch leaves out");
      }
      needs_[storage(step.output)] = step.guard;
      if (step.kind != StepKind::Decision) continue;
      check_decision(graph_, step);
      check(graph_.value(step.output).storage == step.output,
            step,
            "decides in the memory of another value");
      guard_of_[static_cast<size_t>(step.output)] = step.guard;
    }
    ESPALIER_CHECK(needs_[storage(graph_.output)] < 0,
                   ValueError,
                   "plan: a closed branch leaves out its output");
  }

 private:
  static constexpr int kNone = -2;  // no decision

  size_t storage(int value) const { return static_cast<size_t>(graph_.value(value).storage); }
  bool is_decision(int value) const {
    return value < static_cast<int>(guard_of_.size()) &&
           guard_of_[static_cast<size_t>(value)] != kNone;
  }
  /// Whether a step with the guard `own` is closed wherever `guard` is.
  bool closes_with(int own, int guard) const {
    while (own >= 0 && own != guard) own = guard_of_[static_cast<size_t>(own)];
    return own == guard;
  }

  const Graph& graph_;
  std::vector<int> guard_of_;  // by value, of decisions: their own guard
  std::vector<int> needs_;     // by storage: the guard of who made it
};

}  // namespace

void guard_branches(Graph& graph) {
  const Uses uses(graph);
  const auto steps = static_cast<int>(graph.steps.size());
  for (int s = 0; s < steps; ++s) {
    if (graph.steps[static_cast<size_t>(s)].join >= 0) guard_branch(graph, uses, s);
  }
}

void check_guards(const Graph& graph) {
  GuardCheck(graph).run();
}

}  // namespace espalier::nn::plan
