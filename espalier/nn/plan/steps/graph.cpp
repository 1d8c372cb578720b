// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/plan/steps/graph.h>

#include <algorithm>
#include <array>

#include <espalier/autograd/ops/pool_check.h>
#include <espalier/core/kernels/conv2d/winograd.h>
#include <espalier/sparse/choice/chooser.h>

namespace espalier::nn::plan {
namespace {

constexpr std::array<std::string_view, 9> kNames = {
    "product", "affine", "add", "clamp", "max_pool", "mean_pool", "copy", "decision", "plain"};
constexpr std::array<std::string_view, 4> kFormats = {"-", "dense", "winograd", "sparse"};
constexpr std::array<std::string_view, 3> kGates = {"-", "channels", "positions"};

// Positions of one sample: far more than any network has, few enough for every product of sizes.
constexpr int64_t kMaxSampleSize = int64_t{1} << 31;

template <class Enum, size_t N>
Enum parse(const std::array<std::string_view, N>& names, std::string_view name, const char* what) {
  const auto found = std::find(names.begin(), names.end(), name);
  ESPALIER_CHECK(found != names.end(), ValueError, "plan: unknown ", what, " '", name, "'");
  return static_cast<Enum>(found - names.begin());
}

void check_shape(const Step& step, const Shape& expected, const Shape& got) {
  ESPALIER_CHECK(expected == got,
                 ShapeError,
                 "plan: step ",
                 step.name,
                 " gives ",
                 expected,
                 ", but its output is ",
                 got);
}

void check_count(const Step& step, size_t least, size_t most) {
  ESPALIER_CHECK(step.inputs.size() >= least && step.inputs.size() <= most,
                 ValueError,
                 "plan: step ",
                 step.name,
                 " (",
                 name(step.kind),
                 ") has ",
                 step.inputs.size(),
                 " inputs");
}

void check_vector(const Step& step, const Tensor& vector, int64_t size, std::string_view what) {
  ESPALIER_CHECK(vector.defined() && vector.dtype() == DType::F32 && vector.shape() == Shape{size},
                 ShapeError,
                 "plan: step ",
                 step.name,
                 " expects a float32 ",
                 what,
                 " of ",
                 size);
}

void check_gate(const Step& step, const Conv2dShape& shape) {
  const Gate& gate = step.gate;
  if (gate.kind == GateKind::None) return;
  bool fits = shape.options.groups == 1 && step.format != Format::Sparse;
  if (gate.kind == GateKind::Channels) {
    check_vector(step, gate.rho, shape.k, "rho");
    fits = fits && gate.phi.defined() && gate.phi.dtype() == DType::F32 &&
           gate.phi.shape() == Shape{shape.k, shape.c} && gate.kept >= 1 && gate.kept <= shape.k;
  } else {
    check_vector(step, gate.least, shape.k, "least partial sum");
    check_vector(step, gate.scale, shape.k, "scale");
    fits = fits && step.format == Format::Dense && gate.parts > 1 && shape.c % gate.parts == 0 &&
           shape.k % gate.parts == 0;
  }
  ESPALIER_CHECK(fits,
                 ValueError,
                 "plan: step ",
                 step.name,
                 " has a gate of ",
                 name(gate.kind),
                 " that does not fit its weight ",
                 step.weight.shape());
}

void check_product(const Graph& graph, const Step& step, const Shape& out) {
  check_count(step, 1, 2);
  ESPALIER_CHECK(step.weight.defined() && step.weight.dtype() == DType::F32 &&
                     step.weight.rank() == 4 && step.format != Format::None,
                 ValueError,
                 "plan: step ",
                 step.name,
                 " has no float32 weight");
  const Conv2dShape shape = product_shape(graph, step, 1);
  ESPALIER_CHECK((step.format != Format::Winograd || espalier::detail::winograd_fits(shape)) &&
                     (step.format != Format::Sparse || sparse::has_sparse_conv2d(shape)),
                 ValueError,
                 "plan: step ",
                 step.name,
                 " has no ",
                 name(step.format),
                 " kernel for a weight ",
                 step.weight.shape());
  if (out.rank() == 1) {
    check_shape(step, {shape.k * shape.p * shape.q}, out);
  } else {
    check_shape(step, {shape.k, shape.p, shape.q}, out);
  }
  if (step.bias.defined()) check_vector(step, step.bias, shape.k, "bias");
  check_gate(step, shape);
  if (step.inputs.size() == 2) check_shape(step, out, graph.value(step.inputs[1]).shape);
}

void check_copy(const Graph& graph, const Step& step, const Shape& out) {
  int64_t end = 0;
  for (const CopyRun& run : step.runs) {
    const auto inputs = static_cast<int64_t>(step.inputs.size());
    ESPALIER_CHECK(run.input >= 0 && run.input < inputs && run.count >= 1 &&
                       run.count <= kMaxSampleSize && run.to >= end &&
                       run.to + run.count <= out.numel(),
                   ValueError,
                   "plan: step ",
                   step.name,
                   " copies to places outside of its output, or in disorder");
    end = run.to + run.count;
    const int64_t size = graph.value(step.inputs[static_cast<size_t>(run.input)]).shape.numel();
    const bool fits = std::abs(run.step) <= kMaxSampleSize && run.from >= 0 && run.from < size &&
                      run.from + (run.count - 1) * run.step >= 0 &&
                      run.from + (run.count - 1) * run.step < size;
    ESPALIER_CHECK(
        fits, ValueError, "plan: step ", step.name, " copies from places outside of its input");
  }
}

void check_plain(const Graph& graph, const Step& step, const Shape& out) {
  check_plain_call(step.plain);
  std::vector<int64_t> sizes;  // of the operands that are values
  for (size_t i = 0; i < step.plain.operands.size(); ++i) {
    if (!step.plain.constants[i].defined()) sizes.push_back(step.plain.operands[i].numel());
  }
  check_count(step, sizes.size(), sizes.size());
  bool fits = step.plain.output.numel() == out.numel() && !step.limits.any();
  for (size_t i = 0; i < sizes.size(); ++i) {
    fits = fits && sizes[i] == graph.value(step.inputs[i]).shape.numel();
  }
  ESPALIER_CHECK(fits,
                 ShapeError,
                 "plan: step ",
                 step.name,
                 " calls '",
                 step.plain.op,
                 "' with shapes other than its values have");
}

void check_step(const Graph& graph, const Step& step) {
  const Shape& in = graph.value(step.inputs.front()).shape;
  const Shape& out = graph.value(step.output).shape;
  switch (step.kind) {
    case StepKind::Product:
      return check_product(graph, step, out);
    case StepKind::Affine:
      check_count(step, 1, 1);
      check_shape(step, in, out);
      check_vector(step, step.weight, in.size(0), "scale");
      return check_vector(step, step.bias, in.size(0), "shift");
    case StepKind::Add:
      check_count(step, 2, 2);
      check_shape(step, graph.value(step.inputs[1]).shape, out);
      return check_shape(step, in, out);
    case StepKind::Clamp:
      check_count(step, 1, 1);
      return check_shape(step, in, out);
    case StepKind::MaxPool:
    case StepKind::MeanPool: {
      check_count(step, 1, 1);
      const PoolWindows windows = pool_windows(graph, step);
      return check_shape(step,
                         {in[0],
                          static_cast<int64_t>(windows.rows.size()),
                          static_cast<int64_t>(windows.cols.size())},
                         out);
    }
    case StepKind::Copy:
      return check_copy(graph, step, out);
    case StepKind::Decision:  // check_guards
      return check_count(step, 1, 1);
    case StepKind::Plain:
      return check_plain(graph, step, out);
  }
}

}  // namespace

std::string_view name(StepKind kind) {
  return kNames[static_cast<size_t>(kind)];
}

StepKind parse_step_kind(std::string_view name) {
  return parse<StepKind>(kNames, name, "kind of step");
}

std::string_view name(Format format) {
  return kFormats[static_cast<size_t>(format)];
}

Format parse_format(std::string_view name) {
  return parse<Format>(kFormats, name, "format");
}

std::string_view name(GateKind kind) {
  return kGates[static_cast<size_t>(kind)];
}

GateKind parse_gate_kind(std::string_view name) {
  return parse<GateKind>(kGates, name, "gate");
}

bool has_plain(const Graph& graph) {
  return std::ranges::any_of(graph.steps,
                             [](const Step& step) { return step.kind == StepKind::Plain; });
}

bool is_gated(const Graph& graph) {
  return std::any_of(graph.steps.begin(), graph.steps.end(), [](const Step& step) {
    return step.gate.kind != GateKind::None || step.kind == StepKind::Decision;
  });
}

bool fits_lanes(const Graph& graph) {
  if (has_plain(graph)) return false;
  // Times of a product in the lanes, in those of one in planes: direct sums, and Winograd's. VGG-16
  // and ResNet-20 under fbs, 64 images, November 2026, AVX-512: both layouts take equally long when
  // planes have 12 and 23 % of the multiply-accumulates.
  constexpr double kDirect = 0.6;
  constexpr double kWinograd = 0.18;
  std::vector<double> open(graph.values.size(), 1.0);  // share of a value's channels, by storage
  const auto share = [&](int id) -> double& {
    return open[static_cast<size_t>(graph.value(id).storage)];
  };
  double lanes = 0.0;
  double planes = 0.0;
  for (const Step& step : graph.steps) {
    const bool passes = step.kind == StepKind::Clamp || step.kind == StepKind::MaxPool ||
                        step.kind == StepKind::MeanPool;
    double out = passes ? share(step.inputs[0]) : 1.0;
    if (step.gate.kind == GateKind::Positions || step.kind == StepKind::Decision) return false;
    if (step.kind == StepKind::Product && step.format != Format::Sparse) {
      const auto macs = static_cast<double>(product_shape(graph, step, 1).macs());
      const bool gated = step.gate.kind == GateKind::Channels;
      const double kept =
          gated ? static_cast<double>(step.gate.kept) / static_cast<double>(step.weight.size(0))
                : 1.0;
      lanes += macs * (step.format == Format::Winograd ? kWinograd : kDirect);
      planes += macs * kept * (gated ? share(step.inputs[0]) : 1.0);
      if (step.inputs.size() == 1) out = kept;
    }
    share(step.output) = out;
  }
  return lanes <= planes;
}

int Graph::add_value(const Shape& shape) {
  const int id = static_cast<int>(values.size());
  values.push_back({shape, id});
  return id;
}

Conv2dShape product_shape(const Graph& graph, const Step& step, int64_t samples) {
  const Shape& in = graph.value(step.inputs.front()).shape;
  const Shape planes =
      in.rank() == 3 ? Shape{samples, in[0], in[1], in[2]} : Shape{samples, in.numel(), 1, 1};
  return conv2d_shape(planes, step.weight.shape(), step.conv, step.name);
}

PoolWindows pool_windows(const Graph& graph, const Step& step) {
  const Shape& in = graph.value(step.inputs.front()).shape;
  const Shape& out = graph.value(step.output).shape;
  ESPALIER_CHECK(in.rank() == 3 && out.rank() == 3,
                 ShapeError,
                 "plan: step ",
                 step.name,
                 " expects planes (C,H,W), got ",
                 in);
  if (step.pool.kernel.h > 0) {
    ESPALIER_CHECK(step.kind == StepKind::MaxPool || step.pool.dilation == Pair(1),
                   ValueError,
                   "plan: step ",
                   step.name,
                   " takes means of windows with a dilation, which only a maximum has");
    return espalier::detail::windows_of({1, in[0], in[1], in[2]}, step.pool, step.name);
  }
  ESPALIER_CHECK(
      step.kind == StepKind::MeanPool && in[1] > 0 && in[2] > 0 && out[1] > 0 && out[2] > 0,
      ValueError,
      "plan: step ",
      step.name,
      " has no windows");
  return {adaptive_windows(in[1], out[1]), adaptive_windows(in[2], out[2])};
}

void check_graph(const Graph& graph) {
  ESPALIER_CHECK(!graph.values.empty(), ValueError, "plan: has no input");
  const auto count = static_cast<int>(graph.values.size());
  // Storages are numbered by the first value that uses them.
  for (int id = 0; id < count; ++id) {
    const Value& value = graph.value(id);
    bool sizes = value.shape.rank() >= 1;
    int64_t numel = 1;
    for (const int64_t size : value.shape) {
      sizes = sizes && size >= 1 && size <= kMaxSampleSize / numel;
      if (sizes) numel *= size;
    }
    ESPALIER_CHECK(sizes, ShapeError, "plan: value ", id, " has a shape that can't be run");
    ESPALIER_CHECK(value.storage >= 0 && value.storage <= id &&
                       graph.value(value.storage).storage == value.storage &&
                       graph.value(value.storage).shape.numel() == value.shape.numel(),
                   ValueError,
                   "plan: value ",
                   id,
                   " shares memory with a value of another size");
  }
  std::vector<bool> made(graph.values.size());  // by storage
  made[0] = true;
  for (const Step& step : graph.steps) {
    ESPALIER_CHECK(!step.inputs.empty(), ValueError, "plan: step ", step.name, " has no input");
    for (const int input : step.inputs) {
      ESPALIER_CHECK(
          input >= 0 && input < count && made[static_cast<size_t>(graph.value(input).storage)],
          ValueError,
          "plan: step ",
          step.name,
          " reads value ",
          input,
          ", which nothing made before");
    }
    ESPALIER_CHECK(step.output > 0 && step.output < count &&
                       !made[static_cast<size_t>(graph.value(step.output).storage)],
                   ValueError,
                   "plan: step ",
                   step.name,
                   " makes value ",
                   step.output,
                   ", which is there already");
    made[static_cast<size_t>(graph.value(step.output).storage)] = true;
    check_step(graph, step);
    for (const int input : step.inputs) {
      ESPALIER_CHECK(!graph.tokens || graph.value(input).storage != 0 ||
                         (step.kind == StepKind::Plain && step.plain.op == "embedding"),
                     ValueError,
                     "plan: step ",
                     step.name,
                     " computes with ids");
    }
  }
  ESPALIER_CHECK(graph.output >= 0 && graph.output < count &&
                     made[static_cast<size_t>(graph.value(graph.output).storage)],
                 ValueError,
                 "plan: nothing makes its output");
  check_guards(graph);
}

}  // namespace espalier::nn::plan
