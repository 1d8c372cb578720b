// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/plan/program.h>

#include <algorithm>

#include <espalier/core/kernels/conv2d/depthwise.h>
#include <espalier/core/mac_counter.h>

namespace espalier::nn {
namespace {

using plan::Graph;
using plan::Kernel;
using plan::Step;
using plan::StepKind;
using plan::Workspace;

// More than any machine that this runs on; a bad file must not ask for it.
constexpr int64_t kMaxWorkspaceBytes = int64_t{1} << 38;
constexpr int64_t kMaxBatch = 1 << 16;

std::unique_ptr<Kernel> make_kernel(const Graph& graph, const Step& step, int64_t blocks) {
  switch (step.kind) {
    case StepKind::Product: {
      if (step.gate.kind == plan::GateKind::Channels) {
        return make_gated_convolution(graph, step, blocks);
      }
      if (step.format == plan::Format::Sparse) return make_sparse_product(graph, step, blocks);
      if (step.format == plan::Format::Winograd) {
        return make_winograd_convolution(graph, step, blocks);
      }
      const Conv2dShape s = product_shape(graph, step, 1);
      if (espalier::detail::is_depthwise(s)) return make_depthwise_convolution(graph, step);
      const bool linear = s.h * s.w == 1 && s.r * s.s == 1 && s.p * s.q == 1 &&
                          s.options.groups == 1 && s.options.padding == Pair(0);
      return linear ? make_dense_linear(graph, step) : make_dense_convolution(graph, step, blocks);
    }
    case StepKind::Affine:
    case StepKind::Add:
    case StepKind::Clamp:
      return make_elementwise(graph, step);
    case StepKind::MaxPool:
    case StepKind::MeanPool:
      return make_pool(graph, step);
    case StepKind::Copy:
      return make_copy(graph, step);
    case StepKind::Decision:
    case StepKind::Plain:
      break;  // a network with one runs in planes
  }
  throw ValueError("plan: unknown kind of step");
}

/// Gives the workspace back when a call ends, in whatever way.
class Borrowed {
 public:
  explicit Borrowed(const InferencePlan::Program& program)
      : program_(program), workspace_(program.take()) {}
  ~Borrowed() { program_.give_back(std::move(workspace_)); }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  Workspace* operator->() { return workspace_.get(); }
  Workspace& operator*() { return *workspace_; }

 private:
  const InferencePlan::Program& program_;
  std::unique_ptr<Workspace> workspace_;
};

bool has_samples_of(const Tensor& tensor, const Shape& sample) {
  return tensor.rank() == sample.rank() + 1 && tensor.shape().without(0) == sample;
}

}  // namespace

InferencePlan::Program::Program(Graph made, int64_t samples)
    : graph(std::move(made)), batch(samples), blocks(lane_blocks(samples)) {
  ESPALIER_CHECK(samples >= 1 && samples <= kMaxBatch,
                 ValueError,
                 "plan: expects a batch of 1 to ",
                 kMaxBatch,
                 " samples, got ",
                 samples);
  check_graph(graph);
  in_planes = !fits_lanes(graph);
  memory = plan_memory(graph);
  ESPALIER_CHECK(memory.size <= kMaxWorkspaceBytes / (kLanes * blocks * int64_t{sizeof(float)}),
                 ValueError,
                 "plan: needs more memory for ",
                 samples,
                 " samples than any machine has");
  for (const Step& step : graph.steps) {
    planes_kernels.push_back(make_planes_kernel(graph, step));
    planes_scratch = std::max(planes_scratch, planes_kernels.back()->scratch_floats());
    if (in_planes) {
      macs += planes_kernels.back()->macs();
      continue;
    }
    kernels.push_back(make_kernel(graph, step, blocks));
    task_floats = std::max(task_floats, kernels.back()->scratch_floats());
    shared_floats = std::max(shared_floats, kernels.back()->shared_floats(blocks));
    macs += kernels.back()->macs();
  }
  if (!in_planes && !is_gated(graph)) choose_layout();
  kept = kept_steps();
  crossing = crossing_values(kept);
  if (is_gated(graph) && in_planes) group = std::min(samples, plan::kPlanesGroup);
  planes_scratch = (planes_scratch + kLanes - 1) / kLanes * kLanes;
  planes_memory = plan_memory(graph, plan::kPlanesGranule);
  // Scratches begin at cache lines of their own.
  task_floats = (task_floats + kLanes - 1) / kLanes * kLanes;
  give_back(make_workspace());
}

void InferencePlan::Program::choose_layout() {
  for (size_t step = 0; step < kernels.size(); ++step) {
    seconds_in_lanes += lanes_seconds(step);
    seconds_in_planes += planes_seconds(step);
  }
  in_planes = seconds_in_planes < seconds_in_lanes;
  if (!in_planes) return;
  kernels.clear();
  task_floats = 0;
  shared_floats = 0;
  macs = 0;
  for (const auto& kernel : planes_kernels) macs += kernel->macs();
}

plan::PlanesRun InferencePlan::Program::planes_run(Workspace& workspace,
                                                   int64_t index,
                                                   int64_t slots) const {
  return {.memory = &planes_memory,
          .arena = workspace.arena.data<float>() + espalier::detail::kPlanesSlack +
                   index * planes_arena(),
          .scratch = workspace.scratch.data<float>() + index * planes_scratch,
          .slots = slots};
}

int64_t InferencePlan::Program::planes_arena() const {
  return planes_memory.size + 2 * espalier::detail::kPlanesSlack;
}

int64_t InferencePlan::Program::arenas(int64_t slots) const {
  return in_planes && !is_gated(graph) ? slots : group;
}

int64_t InferencePlan::Program::arena_floats(int64_t slots) const {
  const int64_t size = in_planes ? 0 : memory.size * kLanes;
  // Where all steps run block by block, only what doesn't divide by the slots runs together.
  const int64_t together = kept < kernels.size() ? blocks : std::min(blocks, slots - 1);
  return std::max(size * (together + (kept > 0 ? slots : 0)), arenas(slots) * planes_arena());
}

int64_t InferencePlan::Program::scratch_floats(int64_t slots) const {
  return std::max(task_floats * slots + shared_floats, arenas(slots) * planes_scratch);
}

std::unique_ptr<Workspace> InferencePlan::Program::make_workspace() const {
  const int64_t slots = num_threads();
  return std::make_unique<Workspace>(
      Workspace{Tensor::empty({arena_floats(slots)}),
                Tensor::empty({std::max<int64_t>(1, scratch_floats(slots))}),
                slots});
}

std::unique_ptr<Workspace> InferencePlan::Program::take() const {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      std::unique_ptr<Workspace> workspace = std::move(free_.back());
      free_.pop_back();
      return workspace;
    }
  }
  return make_workspace();
}

void InferencePlan::Program::give_back(std::unique_ptr<Workspace> workspace) const {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(workspace));
}

const Shape& InferencePlan::input_shape() const {
  return program_->graph.value(0).shape;
}
const Shape& InferencePlan::output_shape() const {
  return program_->graph.value(program_->graph.output).shape;
}
int64_t InferencePlan::batch() const {
  return program_->batch;
}
bool InferencePlan::runs_in_planes(int64_t samples) const {
  return program_->in_planes || samples <= kPlanesSamples;
}
bool InferencePlan::takes_tokens() const {
  return program_->graph.tokens;
}
PlanWeights InferencePlan::weights() const {
  return program_->graph.weights;
}
int64_t InferencePlan::macs() const {
  return program_->macs;
}

int64_t InferencePlan::weight_bytes() const {
  int64_t sum = 0;
  for (const auto& kernel : program_->kernels) sum += kernel->nbytes();
  for (const auto& kernel : program_->planes_kernels) sum += kernel->nbytes();
  return sum;
}

int64_t InferencePlan::workspace_bytes() const {
  const Program& p = *program_;
  const int64_t slots = num_threads();
  return (p.arena_floats(slots) + p.scratch_floats(slots)) * int64_t{sizeof(float)};
}

void InferencePlan::reserve(int callers) const {
  std::vector<std::unique_ptr<Workspace>> made;
  for (int i = 0; i < callers; ++i) made.push_back(program_->take());
  for (auto& workspace : made) program_->give_back(std::move(workspace));
}

void InferencePlan::run(const Tensor& x, Tensor& y) const {
  ESPALIER_CHECK(has_samples_of(x, input_shape()),
                 ShapeError,
                 "plan: expects samples ",
                 input_shape(),
                 ", got ",
                 x.shape());
  const DType dtype = takes_tokens() ? DType::I64 : DType::F32;
  ESPALIER_CHECK(x.dtype() == dtype && y.defined() && y.dtype() == DType::F32,
                 TypeError,
                 "plan: makes float32 of ",
                 name(dtype),
                 ", got ",
                 x,
                 " and ",
                 y.defined() ? y.str() : std::string("no tensor for the result"));
  ESPALIER_CHECK(has_samples_of(y, output_shape()) && y.size(0) == x.size(0) && y.is_contiguous(),
                 ShapeError,
                 "plan: the result of ",
                 x.shape(),
                 " needs a contiguous tensor of ",
                 x.size(0),
                 " samples ",
                 output_shape(),
                 ", got ",
                 y);
  const Tensor in = (x.layout() == Layout::Nchw ? x.contiguous() : x).to(DType::F32);
  run_memory(in.data<float>(), x.layout(), x.size(0), y.data<float>(), y.layout());
  zero_padding_lanes(y);
}

void InferencePlan::run(const float* x, int64_t samples, float* y) const {
  ESPALIER_CHECK(samples >= 0, ValueError, "plan: expects 0 samples or more, got ", samples);
  run_memory(x, Layout::Nchw, samples, y, Layout::Nchw);
}

void InferencePlan::run_memory(
    const float* x, Layout x_layout, int64_t samples, float* y, Layout y_layout) const {
  const Program& p = *program_;
  if (samples == 0) return;
  Borrowed workspace(p);
  const plan::Call call{
      .x = x, .x_layout = x_layout, .samples = samples, .y = y, .y_layout = y_layout};
  count_macs(runs_in_planes(samples) ? p.run_in_planes(*workspace, call)
                                     : p.run_lanes(*workspace, call));
}

Tensor InferencePlan::run(const Tensor& x) const {
  ESPALIER_CHECK(
      x.rank() >= 1, ShapeError, "plan: expects samples ", input_shape(), ", got a scalar");
  Tensor y = Tensor::empty(output_shape().inserted(0, x.size(0)));
  run(x, y);
  return y;
}

}  // namespace espalier::nn
