// SPDX-License-Identifier: Apache-2.0
/// The graph of an inference plan: what is computed, of what, in which order. Made by a trace
/// (trace_graph.cpp) or read from a file (file.cpp), simplified by fuse.cpp, turned into kernels by
/// program.cpp. No memory and no kernels here. Not a public interface.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/autograd/ops/pooling.h>
#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/core/kernels/pooling.h>
#include <espalier/nn/gates/block_rule.h>
#include <espalier/nn/module/module.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/plan/steps/plain_ops.h>

namespace espalier::nn::plan {

/// What a step does. Sums, limits: see Step.
enum class StepKind : uint8_t {
  Product,   ///< convolution or linear layer, with bias, residual and limits
  Affine,    ///< scale * x + shift per channel, with limits
  Add,       ///< the sum of two values, with limits
  Clamp,     ///< limits alone: ReLU, ReLU6
  MaxPool,   ///< the largest of each window
  MeanPool,  ///< the mean of each window
  Copy,      ///< values moved to other places: slice, pad, concat, permute
  Decision,  ///< whether a residual block runs its branch: 1 or 0
  Plain,     ///< an op of autograd, run as it is; see plain_ops.h
};
std::string_view name(StepKind kind);
/// Throws ValueError for an unknown name.
StepKind parse_step_kind(std::string_view name);

/// How a product's weight is kept and multiplied.
enum class Format : uint8_t { None, Dense, Winograd, Sparse };
/// `-`, `dense`, `winograd`, `sparse`.
std::string_view name(Format format);
/// Throws ValueError for an unknown name.
Format parse_format(std::string_view name);

/// What the results of a step are limited to; a NaN stays one.
struct Limits {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
  bool any() const {
    return low > -std::numeric_limits<float>::infinity() ||
           high < std::numeric_limits<float>::infinity();
  }
};

/// out[to + i] = inputs[input][from + i*step] for i < count: positions of one sample, row-major.
struct CopyRun {
  int64_t input, from, to, count, step;
};

/// How a product decides for every sample what of it is computed.
enum class GateKind : uint8_t {
  None,       ///< it computes everything
  Channels,   ///< nn/gates/channel_gate.h
  Positions,  ///< nn/gates/position_gate.h
};
/// `-`, `channels`, `positions`.
std::string_view name(GateKind kind);
/// Throws ValueError for an unknown name.
GateKind parse_gate_kind(std::string_view name);

/// The gate of a product with C input and K output channels. Channels: y = pi (w x + bias) +
/// residual; positions: y = scale (partial + open rest) + bias + residual; then the limits.
struct Gate {
  GateKind kind = GateKind::None;
  Tensor phi = {};    ///< Channels: (K,C)
  Tensor rho = {};    ///< Channels: (K)
  int64_t kept = 0;   ///< Channels: of the K
  int64_t parts = 0;  ///< Positions
  Tensor least = {};  ///< Positions: (K), partial sums from here on are open
  Tensor scale = {};  ///< Positions: (K), not folded into the weight, for decisions come before it
};

/// One step.
struct Step {
  StepKind kind = StepKind::Product;
  std::string name = {};  ///< of the layer, or of the op and where it stands
  /// Values. Product: x, and the residual that is added, if any. Add with a `join`: the branch,
  /// then the shortcut.
  std::vector<int> inputs = {};
  int output = -1;
  Limits limits = {};
  Conv2dOptions conv = {};  ///< Product
  /// Product: (K,C/groups,R,S), a linear layer (O,I,1,1). Affine: the scale (C).
  Tensor weight = {};
  Tensor bias = {};                  ///< Product, or undefined: (K). Affine: the shift (C).
  bool masked = false;               ///< Product: its weight has a mask. Of traces, not of files
  Format format = Format::None;      ///< Product
  Gate gate = {};                    ///< Product; of an affine only until it is folded
  PoolOptions pool = {.kernel = 0};  ///< Pools; kernel 0: windows that cover the plane (mean)
  std::vector<CopyRun> runs = {};    ///< Copy; what no run reaches is 0
  BlockRule rule = {};               ///< Decision
  PlainCall plain = {};              ///< Plain
  /// The value of a decision: where it is 0 the step is not run, and of a decision the value is 0.
  /// -1: it is always run.
  int guard = -1;
  /// Of an addition, or a product with a residual: the value of a decision. Where it is 0 there is
  /// nothing to add, and inputs[1] comes out within the limits. -1: it always adds.
  int join = -1;
};

/// A result of a step, or the input. Values of one storage share memory: a reshape costs nothing.
struct Value {
  Shape shape;  ///< of one sample
  int storage;
};

/// Steps in the order of execution.
struct Graph {
  std::vector<Value> values;  ///< value 0 is the input
  std::vector<Step> steps;
  int output = 0;
  PlanWeights weights = PlanWeights::Float32;  ///< of products; rounded ones stand as float32
  bool tokens = false;  ///< value 0 is ids, whole numbers as float32, which embeddings alone read

  const Value& value(int id) const { return values[static_cast<size_t>(id)]; }
  int add_value(const Shape& shape);
};

/// True when any step runs an op of autograd.
bool has_plain(const Graph& graph);
/// True when any product or block has a gate.
bool is_gated(const Graph& graph);
/// False when many samples do better one by one in planes, each with gates of its own, than sixteen
/// in the lanes, which compute what any of them chose: when blocks or positions are gated, or few
/// channels stay; and when an op of autograd runs. By shapes, formats and kept channels alone.
bool fits_lanes(const Graph& graph);
/// The convolution of a product on `samples` samples; a linear layer's planes have one position.
/// Throws ShapeError when weight and input don't fit.
Conv2dShape product_shape(const Graph& graph, const Step& step, int64_t samples);
/// The windows of a pool. Throws ShapeError or ValueError as the op does.
PoolWindows pool_windows(const Graph& graph, const Step& step);

/// Throws ShapeError or ValueError for a graph that cannot be run: values used before they are
/// made, shapes that don't follow from each other, copies that reach outside, missing weights.
void check_graph(const Graph& graph);

/// The same of guards and joins, and of decisions (guards.cpp): what a closed branch would have
/// made must be read by nobody else. For `check_graph`, which has checked the rest.
void check_guards(const Graph& graph);

/// What `model` computes in eval mode from `input` (N,..), one sample's shapes. Throws
/// NotImplemented naming op and layer for what a plan cannot do.
Graph trace_graph(Module& model, const Variable& input);

/// Folds batch norm into the product before it, and additions and limits into the step before them,
/// where nobody else reads what lies between.
void fuse(Graph& graph);

/// Guards the steps that only a branch needs which a decision may leave out.
void guard_branches(Graph& graph);

/// Where the values lie in one block of memory, in positions of one sample.
/// Values that are never alive together may share memory, and an elementwise step writes in the
/// place of an input that nobody reads after it; so does what joins a shortcut, which then stays
/// where it is when the branch is closed. The input is alive for the whole run.
struct MemoryPlan {
  std::vector<int64_t> offsets;  ///< by value
  int64_t size = 0;
};
/// Values begin at multiples of `granule` positions.
MemoryPlan plan_memory(const Graph& graph, int64_t granule = 1);

}  // namespace espalier::nn::plan
