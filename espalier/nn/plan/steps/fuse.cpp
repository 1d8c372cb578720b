// SPDX-License-Identifier: Apache-2.0
// fuse: fewer passes over memory. One walk over the steps; each takes in the step that made its
// input where the rules allow it, and stands in its own place: so chains (convolution, batch norm,
// add, ReLU) collapse, and a convolution waits for the residual that it adds.
#include <algorithm>

#include <espalier/nn/plan/steps/copy_runs.h>
#include <espalier/nn/plan/steps/graph.h>

namespace espalier::nn::plan {
namespace {

constexpr int kNobody = -1;

class Fuser {
 public:
  explicit Fuser(Graph& graph)
      : graph_(graph),
        readers_(graph.values.size()),
        maker_(graph.values.size(), kNobody),
        gone_(graph.steps.size()) {
    for (const Step& step : graph.steps) {
      for (const int input : step.inputs) ++readers_[storage(input)];
    }
    ++readers_[storage(graph.output)];
  }

  void run() {
    for (size_t s = 0; s < graph_.steps.size(); ++s) {
      Step& step = graph_.steps[s];
      switch (step.kind) {
        case StepKind::Affine:
          take_product(step);
          break;
        case StepKind::Clamp:
          limit_maker(step);
          break;
        case StepKind::Add:
          add_to_maker(step);
          break;
        case StepKind::Copy:
          join_copies(step);
          break;
        default:
          break;
      }
      maker_[static_cast<size_t>(step.output)] = static_cast<int>(s);
    }
    std::vector<Step> left;
    for (size_t s = 0; s < graph_.steps.size(); ++s) {
      if (!gone_[s]) left.push_back(std::move(graph_.steps[s]));
    }
    graph_.steps = std::move(left);
  }

 private:
  size_t storage(int value) const { return static_cast<size_t>(graph_.value(value).storage); }

  /// The step that made `value` under this very shape and that nobody else reads; null otherwise.
  Step* only_maker(int value) {
    const int maker = maker_[static_cast<size_t>(value)];
    const bool alone = maker != kNobody && readers_[storage(value)] == 1;
    return alone ? &graph_.steps[static_cast<size_t>(maker)] : nullptr;
  }

  /// Puts `maker` in the place of `step`, whose output and limits it gets.
  void replace(Step& step, Step& maker) {
    gone_[static_cast<size_t>(&maker - graph_.steps.data())] = true;
    maker.output = step.output;
    maker.limits = step.limits;
    step = std::move(maker);
  }

  void take_product(Step& affine) {
    Step* maker = only_maker(affine.inputs[0]);
    if (maker == nullptr || maker->kind != StepKind::Product || maker->limits.any() ||
        maker->inputs.size() > 1) {
      ESPALIER_CHECK(affine.gate.kind == GateKind::None,
                     NotImplemented,
                     "compile: the gate of ",
                     affine.name,
                     " belongs to a convolution that something else reads too");
      return;
    }
    // Saliencies multiply the weights' sums with their bias: what comes behind is not in them.
    if (maker->gate.kind == GateKind::Channels) return;
    fold(*maker, affine);
    if (affine.gate.kind != GateKind::None) maker->gate = affine.gate;
    replace(affine, *maker);
  }

  void limit_maker(Step& clamp) {
    Step* maker = only_maker(clamp.inputs[0]);
    if (maker == nullptr || maker->limits.any()) return;
    if (maker->kind == StepKind::Product || maker->kind == StepKind::Affine ||
        maker->kind == StepKind::Add) {
      replace(clamp, *maker);
    }
  }

  /// The product that was made last adds the other operand; that of a branch, where it may be
  /// closed.
  void add_to_maker(Step& add) {
    if (storage(add.inputs[0]) == storage(add.inputs[1])) return;
    Step* last = nullptr;
    int other = 0;
    const size_t sides = add.join < 0 ? 2 : 1;
    for (size_t side = 0; side < sides; ++side) {
      Step* maker = only_maker(add.inputs[side]);
      if (maker == nullptr || maker->kind != StepKind::Product || maker->limits.any() ||
          maker->inputs.size() > 1 || (last != nullptr && maker < last)) {
        continue;
      }
      last = maker;
      other = add.inputs[1 - side];
    }
    if (last == nullptr) return;
    last->inputs.push_back(other);
    last->join = add.join;
    replace(add, *last);
  }

  /// A copy of a copy reads where that read.
  void join_copies(Step& copy) {
    for (size_t i = 0; i < copy.inputs.size();) {
      Step* maker = only_maker(copy.inputs[i]);
      if (maker == nullptr || maker->kind != StepKind::Copy) {
        ++i;
        continue;
      }
      const auto between = sources_of(maker->runs, graph_.value(maker->output).shape.numel());
      auto sources = sources_of(copy.runs, graph_.value(copy.output).shape.numel());
      const auto end = static_cast<int64_t>(copy.inputs.size());  // before the new ones
      for (Source& source : sources) {
        if (source.input == static_cast<int64_t>(i)) {
          const Source& from = between[static_cast<size_t>(source.at)];
          source = {from.input < 0 ? -1 : end - 1 + from.input, from.at};
        } else if (source.input > static_cast<int64_t>(i)) {
          --source.input;
        }
      }
      copy.inputs.erase(copy.inputs.begin() + static_cast<std::ptrdiff_t>(i));
      copy.inputs.insert(copy.inputs.end(), maker->inputs.begin(), maker->inputs.end());
      copy.runs = runs_of(sources);
      gone_[static_cast<size_t>(maker - graph_.steps.data())] = true;
    }
  }

  /// s*(w x + b) + t = (s*w) x + (s*b + t). Where positions are gated, s stays a factor: a decision
  /// compares sums of w itself.
  static void fold(Step& product, const Step& affine) {
    const int64_t channels = product.weight.size(0);
    const int64_t each = product.weight.numel() / channels;
    if (!product.bias.defined()) product.bias = Tensor::zeros({channels});
    const bool apart = product.gate.kind == GateKind::Positions;
    float* weight = product.weight.data<float>();
    float* bias = product.bias.data<float>();
    for (int64_t k = 0; k < channels; ++k) {
      const double scale = affine.weight.data<float>()[k];
      if (apart) product.gate.scale.data<float>()[k] *= static_cast<float>(scale);
      for (int64_t i = k * each; !apart && i < (k + 1) * each; ++i) {
        weight[i] = static_cast<float>(scale * weight[i]);
      }
      bias[k] = static_cast<float>(scale * bias[k] + affine.bias.data<float>()[k]);
    }
  }

  Graph& graph_;
  std::vector<int> readers_;  // by storage
  std::vector<int> maker_;    // by value
  std::vector<bool> gone_;
};

/// Renumbers the values that are left. A storage is named by the value that its step made, which is
/// left when any value of it is.
void drop_unused_values(Graph& graph) {
  std::vector<bool> used(graph.values.size());
  const auto use = [&](int value) {
    used[static_cast<size_t>(value)] = true;
    used[static_cast<size_t>(graph.value(value).storage)] = true;
  };
  use(0);
  use(graph.output);
  for (const Step& step : graph.steps) {
    use(step.output);
    for (const int input : step.inputs) use(input);
    if (step.join >= 0) use(step.join);
  }
  std::vector<int> number(graph.values.size(), kNobody);
  std::vector<Value> left;
  for (size_t v = 0; v < graph.values.size(); ++v) {
    if (!used[v]) continue;
    number[v] = static_cast<int>(left.size());
    Value value = graph.values[v];
    value.storage = number[static_cast<size_t>(value.storage)];
    left.push_back(value);
  }
  graph.values = std::move(left);
  const auto renumber = [&](int& value) { value = number[static_cast<size_t>(value)]; };
  renumber(graph.output);
  for (Step& step : graph.steps) {
    renumber(step.output);
    if (step.join >= 0) renumber(step.join);
    for (int& input : step.inputs) renumber(input);
  }
}

}  // namespace

void fuse(Graph& graph) {
  Fuser(graph).run();
  drop_unused_values(graph);
}

}  // namespace espalier::nn::plan
