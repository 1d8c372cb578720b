// SPDX-License-Identifier: Apache-2.0
/// The inference plan: a network compiled for running. Traced once, batch norm folded, additions
/// and ReLU fused, weights packed in the chosen format, memory laid out; then it runs without the
/// tape, without the module and without allocating. Ops without a fast form run by their plain one,
/// as autograd has it: a plan with such steps runs one sample at a time and takes memory in them.
/// Many samples run sixteen together, few of them one at a time with pixels in the lanes; so do all
/// samples of a network that takes less time so (large images and sparse weights), or whose gates
/// choose blocks or positions or leave few channels, each skipping what it does without. With other
/// gates of channels many samples stay sixteen together and compute what any of these opened. Not
/// for training.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// How weights are to be multiplied.
enum class PlanFormat : uint8_t {
  Auto,    ///< as sparse/choice/chooser.h decides for each layer
  Dense,   ///< zeros are multiplied like the rest
  Sparse,  ///< sparse wherever a sparse kernel exists and a weight has a zero
};

/// As what a plan holds the weights of its convolutions and linear layers.
enum class PlanWeights : uint8_t {
  Float32,  ///< as they are
  /// Rounded to bfloat16 (core/kernels/bfloat16.h): every kernel multiplies the rounded weights, a
  /// file holds two bytes for each, and so does memory where one sample's layer is bound by reading
  /// them (dense, up to sixteen positions, linear). Sums stay float32.
  BFloat16
};

/// Settings of `compile`.
struct CompileOptions {
  /// Samples at once: memory and the cut of tasks are made for as many. More are run in turns.
  /// 0: as many as the example has.
  int64_t batch = 0;
  PlanFormat format = PlanFormat::Auto;        ///< how weights are multiplied
  PlanWeights weights = PlanWeights::Float32;  ///< as what they are held
};

/// One step of a plan, as printed.
struct PlanStep {
  std::string name;    ///< of the layer, or where it stands
  std::string what;    ///< `product 3x3 + residual, limits`, ..
  Shape input;         ///< of one sample
  Shape output;        ///< of one sample
  std::string format;  ///< `dense`, `winograd`, `sparse`, `plain`, or `-` without weights
  /// The same for few samples: `dense`, `sparse`, `blocks`, `-`, or `code` where single weights are
  /// instructions; by what a gated step chooses `channels`, `positions`. `format` as well where
  /// many samples run in planes too, else with gates `gated-winograd` and `gated-dense`.
  std::string planes;
  std::string gate;      ///< the decision that may leave it out; empty: none
  double density = 1.0;  ///< kept fraction of the weight
  int64_t macs = 0;      ///< executed for one sample; with a gate at most
  int64_t nbytes = 0;    ///< of weights, indices and constants in memory
};

/// A compiled network. A handle: copies share everything. Thread-safe: concurrent calls of `run`
/// work side by side, each in a workspace of its own, which is kept for the next call. The bits of
/// a sample's result do not depend on the number of threads, or on its place in the batch; on the
/// batch only in so far as few samples and many run in different layouts. With gates of channels a
/// sample may make another choice there where two saliencies are equal but for rounding; gates of
/// blocks choose as the module does but for the rounding of a logit, and an exact tie opens.
class InferencePlan {
 public:
  /// Calls of up to so many samples run in planes, larger ones in `Nchw16n`.
  static constexpr int64_t kPlanesSamples = 4;

  /// Of one sample: (C,H,W), (F), (T).
  const Shape& input_shape() const;
  /// Whether it is tokens: int64 ids, in plain memory as float32 (whole numbers).
  bool takes_tokens() const;
  /// Of one sample's result: (classes).
  const Shape& output_shape() const;
  /// Samples at once.
  int64_t batch() const;
  /// Whether so many samples run one by one in planes, not sixteen in the lanes of `Nchw16n`: up to
  /// kPlanesSamples always, more where gates want it, or where a count of products and bytes says
  /// that it takes less time (`describe` tells both times).
  bool runs_in_planes(int64_t samples) const;

  /// Runs x (N,..) float32, or int64 tokens, any N, either layout, into y (N,..) float32, either
  /// layout, contiguous. Allocates nothing once as many workspaces exist as callers run at a time
  /// (a plain x must be contiguous for that) and no step is `plain`. Throws ShapeError or TypeError
  /// for other tensors, ValueError for tokens that the network does not know.
  void run(const Tensor& x, Tensor& y) const;
  /// The same into a new plain tensor.
  Tensor run(const Tensor& x) const;
  /// The same on plain memory of the caller: `samples` times the input's and the output's size.
  void run(const float* x, int64_t samples, float* y) const;
  /// Makes workspaces until `callers` exist; `compile` and `load` make one.
  void reserve(int callers) const;

  /// What runs, in its order.
  std::vector<PlanStep> steps() const;
  /// As what the weights are held.
  PlanWeights weights() const;
  /// Executed for one sample; with gates at most.
  int64_t macs() const;
  /// Of all steps' weights, indices and constants, for many samples and for few.
  int64_t weight_bytes() const;
  /// Of one workspace: values and scratch.
  int64_t workspace_bytes() const;
  /// The plan as a table: step, shapes, format, density, MACs, bytes; then sums.
  std::string describe() const;

  /// Writes the plan atomically; see README.md for the format. Sparse weights go as their nonzeros.
  /// Throws IoError, and ValueError for values that are not finite.
  void save(const std::filesystem::path& path) const;
  /// The same plan again, with the same bits in its results. Throws IoError naming the file and
  /// what is wrong with it.
  static InferencePlan load(const std::filesystem::path& path);

  struct Program;
  /// For compile.cpp and file.cpp.
  explicit InferencePlan(std::shared_ptr<const Program> program) : program_(std::move(program)) {}

 private:
  void run_memory(
      const float* x, Layout x_layout, int64_t samples, float* y, Layout y_layout) const;

  std::shared_ptr<const Program> program_;
};

/// Compiles what `model` does in eval mode with `example` (N,..), float32 in either layout, or
/// int64 tokens that only `Embedding`s read; flags and parameters of the model are as before. The
/// plan does not follow later changes of the model. Fast are convolution (also grouped, and with
/// gates), linear, batch norm, ReLU, clamp, pools, addition, concatenation, reshape, slice, pad,
/// permute, and residual blocks with a gate that can tell its rule (Decision::block_rule); what
/// else element-wise ops, products, reductions, softmax, norms, embeddings and transposed
/// convolutions do runs by its plain form (PlanStep::format). Throws NotImplemented naming the op
/// and the layer for other ops, and for what mixes samples. Throws NotImplemented for int8
/// quantizers. Throws ValueError for a batch below 1, and where `require_sparse` of
/// sparse/choice/chooser.h is set, unless all is asked to be dense, for a masked layer that the
/// plan would multiply densely, naming it, its density and the reason.
InferencePlan compile(Module& model, const Variable& example, const CompileOptions& options = {});

}  // namespace espalier::nn
