// SPDX-License-Identifier: Apache-2.0
// Steps that a decision may leave out, for each sample by itself.
#include <array>

#include <espalier/nn/plan/planes/kernel.h>

namespace espalier::nn::plan {
namespace {

/// Whether `limits` change nothing of a value: they did so already where it, or (`looks_back`) what
/// it was copied from, was made.
bool are_kept(const Graph& graph, int value, const Limits& limits, bool looks_back) {
  if (!limits.any()) return true;
  const int storage = graph.value(value).storage;
  for (const Step& step : graph.steps) {
    if (graph.value(step.output).storage != storage) continue;
    if (step.limits.low >= limits.low && step.limits.high <= limits.high) return true;
    const bool copies =
        looks_back && step.kind == StepKind::Copy && limits.low <= 0.0f && limits.high >= 0.0f;
    return copies && std::ranges::all_of(step.inputs, [&](int input) {
             return are_kept(graph, input, limits, false);
           });
  }
  return false;  // the input
}

class GuardedKernel : public PlanesKernel {
 public:
  GuardedKernel(const Graph& graph, const Step& step, std::unique_ptr<PlanesKernel> kernel)
      : kernel_(std::move(kernel)),
        guard_(step.guard),
        join_(step.join),
        output_(step.output),
        decides_(step.kind == StepKind::Decision) {
    if (join_ < 0) return;
    shortcut_ = step.inputs[1];
    limits_ = step.limits;
    stays_ = are_kept(graph, shortcut_, limits_, true);
    size_ = graph.value(output_).shape.numel();
  }

  int64_t run(const PlanesRun& run) const override {
    return is_left_out(run) ? 0 : kernel_->run(run);
  }
  bool side_by_side() const override { return kernel_->side_by_side(); }
  int64_t run_each(std::span<const PlanesRun> runs) const override {
    std::array<PlanesRun, kPlanesGroup> open;
    size_t count = 0;
    for (const PlanesRun& run : runs) {
      if (!is_left_out(run)) open[count++] = run;
    }
    return count == 0 ? 0 : kernel_->run_each({open.data(), count});
  }
  int64_t macs() const override { return kernel_->macs(); }
  int64_t scratch_floats() const override { return kernel_->scratch_floats(); }
  int64_t nbytes() const override { return kernel_->nbytes(); }
  std::string_view format() const override { return kernel_->format(); }

 private:
  /// Does what is left to do when it is.
  bool is_left_out(const PlanesRun& run) const {
    if (guard_ >= 0 && *run.at(guard_) == 0.0f) {
      if (decides_) *run.at(output_) = 0.0f;
      return true;
    }
    if (join_ < 0 || *run.at(join_) != 0.0f) return false;
    const float* x = run.at(shortcut_);
    float* y = run.at(output_);
    if (x != y || !stays_) limit_planes(x, limits_, size_, y);
    return true;
  }

  std::unique_ptr<PlanesKernel> kernel_;
  int guard_, join_, output_;
  bool decides_;
  int shortcut_ = -1;
  Limits limits_;
  bool stays_ = true;  // the shortcut, where it lies in the place of the output
  int64_t size_ = 0;
};

}  // namespace

std::unique_ptr<PlanesKernel> make_planes_guarded(const Graph& graph,
                                                  const Step& step,
                                                  std::unique_ptr<PlanesKernel> kernel) {
  return std::make_unique<GuardedKernel>(graph, step, std::move(kernel));
}

}  // namespace espalier::nn::plan
