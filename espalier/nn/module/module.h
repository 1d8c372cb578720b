// SPDX-License-Identifier: Apache-2.0
/// Module: a part of a network. A module names its members in one function, `visit`; names, state
/// dicts, cloning, counting and pruning all read that. There is no registration that could dangle.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/core/random.h>
#include <espalier/nn/module/coupling.h>
#include <espalier/nn/module/parameter.h>

namespace espalier::nn {

class Module;

/// Receives the members of a module, in the order of declaration.
class MemberVisitor {
 public:
  virtual ~MemberVisitor() = default;
  /// A trainable tensor; skipped when undefined (a layer without bias).
  virtual void parameter(std::string_view name, Parameter& parameter) = 0;
  /// A tensor that is saved but not trained (running statistics).
  virtual void buffer(std::string_view name, Tensor& buffer) = 0;
  /// A random position that is saved (dropout).
  virtual void rng(std::string_view name, Rng& rng) = 0;
  /// A part with members of its own, which get the prefix `name.`; a member by value.
  virtual void module(std::string_view name, Module& module) = 0;
  /// A part held by pointer; skipped when null. `clone()` puts a copy in its place, the same copy
  /// wherever the same part is held.
  virtual void part(std::string_view name, std::shared_ptr<Module>& part);
  /// The same for a pointer to a known kind of module.
  template <class M>
  requires(!std::is_same_v<M, Module>) void part(std::string_view name,
                                                 std::shared_ptr<M>& pointer) {
    std::shared_ptr<Module> base = pointer;
    part(name, base);
    if (base != pointer) pointer = std::static_pointer_cast<M>(base);
  }
  /// A part held by pointer whose members are named as the holder's own (the decision of a gate);
  /// skipped when null.
  virtual void inner(std::shared_ptr<Module>& part);
  /// The same for a pointer to a known kind of module.
  template <class M>
  requires(!std::is_same_v<M, Module>) void inner(std::shared_ptr<M>& pointer) {
    std::shared_ptr<Module> base = pointer;
    inner(base);
    if (base != pointer) pointer = std::static_pointer_cast<M>(base);
  }
};

/// A parameter with its dotted name, for example `layer1.0.conv1.weight`.
struct NamedParameter {
  std::string name;      ///< dotted
  Parameter* parameter;  ///< in the module
};
/// A buffer with its dotted name.
struct NamedBuffer {
  std::string name;  ///< dotted
  Tensor* buffer;    ///< in the module
};
/// A module with its dotted name; the root's is empty.
struct NamedModule {
  std::string name;  ///< dotted
  Module* module;    ///< the part
};

/// What a layer does with its weight, as the kernel chooser sees it: a convolution, or a linear
/// layer as a convolution of planes of one position.
struct WeightProduct {
  Conv2dShape shape;        ///< with the batch dimension
  Layout layout;            ///< in which the kernels would run
  const Parameter* weight;  ///< in the layer
};

/// Gives the random numbers for one own parameter of a module, by the parameter's name.
using InitRng = std::function<Rng(std::string_view member)>;

/// A part of a network. Not thread-safe: forward of a training module updates its buffers. Copying
/// a module copies handles (both share their tensors, as copies of a Tensor do); `clone()` is deep.
class Module {
 public:
  virtual ~Module() = default;

  /// Names every member once: own parameters and buffers, then parts. A part or parameter that it
  /// leaves out would be neither trained, saved, nor switched to evaluation: the first step of
  /// `fit` (nn/train/fit.h) throws when one takes part. (A buffer that it leaves out nobody can
  /// see.)
  virtual void visit(MemberVisitor& visitor) = 0;
  /// A deep copy with the same names, masks and training flag.
  std::unique_ptr<Module> clone() const;
  /// The kind and its options, for summaries: `Conv2d(16, 32, kernel 3, stride 2)`.
  virtual std::string describe() const = 0;
  /// Which dimension of which own parameter moves with the in- and out-channels. Composite modules
  /// have none; their coupling follows from the trace (nn/module/coupling.h).
  virtual ChannelCoupling channel_coupling() const { return {}; }
  /// The product with a weight that the layer performs on an input of this shape and layout;
  /// nothing for modules without one.
  virtual std::optional<WeightProduct> weight_product(const Shape&, Layout) const { return {}; }

  /// The layer's numbers of channels (and what else depends on them); empty for modules that have
  /// none. Saved with a shrunk or widened network, so that it can be rebuilt.
  virtual LayerSizes sizes() const { return {}; }
  /// What `sizes()` will be with `kept` channels alone, or with some of them several times.
  virtual LayerSizes sizes_keeping(const KeptChannels& kept) const;
  /// Rebuilds the layer at other sizes: parameters and buffers of the new shapes, with unspecified
  /// values and no masks (the caller loads them). Throws ValueError for names that `sizes()` does
  /// not have.
  virtual void set_sizes(const LayerSizes& sizes);

  /// True for a part that computes something else for each sample (gates): with such parts, samples
  /// in planes of their own (`Layout::Nchw`) are faster than sixteen in the lanes.
  virtual bool differs_by_sample() const { return false; }

  /// `forward`, seen by whoever traces (nn/module/trace.h): the only way to run a module. Composite
  /// modules call their parts so too. A layer whose `forward` was run past it is an error of every
  /// trace that would have missed it.
  Variable operator()(const Variable& x);

  /// Sets own parameters to their initial values. `rng(member)` is the random stream of the
  /// member's full name. A composite may re-initialize its parts here: it is called after them.
  /// Called by `init_parameters` (nn/module/init.h); masks are kept.
  virtual void reset_parameters(const InitRng& rng);

  /// Training (dropout, batch statistics) or evaluation, for this module and all parts.
  void train(bool on = true);
  /// The same as train(false).
  void eval() { train(false); }
  /// False in evaluation.
  bool training() const { return training_; }

  /// All parameters, depth first, each once. Throws ValueError for a name given twice or with a
  /// dot.
  std::vector<NamedParameter> named_parameters();
  /// All buffers, depth first.
  std::vector<NamedBuffer> named_buffers();
  /// This module and all parts, depth first.
  std::vector<NamedModule> named_modules();
  /// The parameter of a dotted name. Throws ValueError with the nearest names.
  Parameter& parameter(std::string_view name);
  /// Forgets the gradients of all parameters.
  void zero_grad();
  /// Converts parameters and floating buffers (float64 for gradient checks). Optimizers made before
  /// see the new values; gradients are dropped.
  void to(DType dtype);

  /// Values, masks (`x.weight.mask`, uint8) and buffers by name. Tensors share memory with the
  /// module.
  std::map<std::string, Tensor> state_dict();
  /// Copies a state dict in. Throws ValueError naming every missing and every unexpected name and
  /// every wrong shape before anything is changed. Masks may be missing (dense);
  /// `num_batches_tracked` of PyTorch is ignored.
  void load_state_dict(const std::map<std::string, Tensor>& state);

  /// The positions of all random generators (dropout) by name, as int64 (seed, stream, position):
  /// with `state_dict()` all that a checkpoint of a model needs.
  std::map<std::string, Tensor> rng_state();
  /// Throws ValueError for missing or unexpected names before anything is changed.
  void load_rng_state(const std::map<std::string, Tensor>& state);

 protected:
  /// The module's function, for `operator()` alone. Layers that need more arguments have further
  /// named functions, which go through `call`.
  virtual Variable forward(const Variable& x) = 0;
  /// A call that is not `operator()`, seen in the same way: runs `function`, whose result is what
  /// tracers take for the module's output. `others` are read beside `x`; undefined ones are left
  /// out.
  Variable call(const Variable& x,
                const std::vector<Variable>& others,
                const std::function<Variable()>& function);

  Module() = default;
  Module(const Module&) = default;
  Module& operator=(const Module&) = default;

  /// The random numbers of a parameter until `init_parameters` is called: a layer is usable as soon
  /// as it is made, but equal layers start with equal weights.
  static Rng default_init_rng(std::string_view member);

  /// A copy that still shares tensors; `clone()` makes it deep. One line: `make_unique<T>(*this)`.
  virtual std::unique_ptr<Module> shallow_copy() const = 0;

 private:
  friend class CloneVisitor;
  bool training_ = true;
};

}  // namespace espalier::nn
