// SPDX-License-Identifier: Apache-2.0
/// Skeleton of a layer: copy it, rename it, change the marked places. In the library a layer is a
/// pair <name>.h and <name>.cpp in espalier/nn/layers/, one line in espalier/nn/layers.h and one
/// line in espalier/nn/tests/layer_cases.h.
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>

#include <espalier/autograd/derivative/gradcheck.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/nn/module/init.h>
#include <espalier/nn/module/module.h>

namespace {

using namespace espalier;
using namespace espalier::nn;

/// Multiplies each channel of x (N,C,H,W) by a number that is learnt; in x's layout.
/// Parameters: `weight` (channels). Initial value: `initial`.
class ChannelScale : public Module {
 public:
  /// 1. Options are a struct with defaults, so that a call names what it sets.
  struct Options {
    int64_t channels = 0;
    double initial = 1.0;
  };

  explicit ChannelScale(const Options& options) : options_(options) {
    ChannelScale::set_sizes({});
    ChannelScale::reset_parameters(default_init_rng);
  }

  /// 2. The members, by the names that files use. Everything else reads this: saving, cloning,
  /// counting.
  void visit(MemberVisitor& visitor) override { visitor.parameter("weight", weight); }

  std::string describe() const override { return cat("ChannelScale(", options_.channels, ")"); }

  /// 3. Which dimension of which member goes when a channel goes. Structured pruning reads nothing
  /// else.
  ChannelCoupling channel_coupling() const override {
    return {.in = {{"weight", 0}}, .out = {{"weight", 0}}, .passes_through = true};
  }

  /// 4. How the layer is rebuilt at another width.
  LayerSizes sizes() const override { return {{"channels", options_.channels}}; }
  LayerSizes sizes_keeping(const KeptChannels& kept) const override {
    return {{"channels", static_cast<int64_t>(kept.out.size())}};
  }
  void set_sizes(const LayerSizes& sizes) override {
    if (const auto found = sizes.find("channels"); found != sizes.end()) {
      options_.channels = found->second;
    }
    ESPALIER_CHECK(options_.channels > 0, ValueError, "ChannelScale: expects channels > 0");
    weight = Parameter(Tensor::empty({options_.channels}));
  }

  /// 5. Initial values. `rng("weight")` is the random stream of this parameter's full name.
  void reset_parameters(const InitRng&) override { init::constant(weight, options_.initial); }

  Parameter weight;

 protected:
  /// 6. The function, in differentiable ops: the backward pass follows from them. A layer whose op
  /// takes a `WeightSparsity` passes `weight.sparsity()`, so that masked weights cost nothing.
  /// Protected: it is run by calling the layer, which tracing sees.
  Variable forward(const Variable& x) override {
    return x * reshape(weight.value, {options_.channels, 1, 1});
  }

  /// 7. Always this line; `clone()` makes the copy deep.
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<ChannelScale>(*this);
  }

 private:
  Options options_;
};

bool check(bool fact, const char* what) {
  std::printf("%s: %s\n", fact ? "ok" : "FAILED", what);
  return fact;
}

}  // namespace

int main() {
  ChannelScale layer({.channels = 2, .initial = 3.0});
  const Tensor x = sample_tensor({17, 2, 3, 3}, 1).to(DType::F32);
  const Tensor y = layer(Variable(x)).value();
  const Tensor lanes = layer(Variable(x.to(Layout::Nchw16n))).value();

  bool good = check(std::abs(y.at({4, 1, 2, 0}) - 3.0 * x.at({4, 1, 2, 0})) < 1e-6, "it scales");
  good &= check(lanes.layout() == Layout::Nchw16n, "it keeps the layout");
  good &= check(lanes.to_vector<float>() == y.to_vector<float>(), "both layouts agree");

  layer.to(DType::F64);
  const auto scaled = [&](const std::vector<Variable>& in) {
    layer.weight.value = in[1];
    return layer(in[0]);
  };
  const std::string wrong =
      gradcheck(scaled, {sample_tensor({2, 2, 1, 3}, 1), sample_tensor({2}, 2)});
  good &= check(wrong.empty(), wrong.empty() ? "its gradients are right" : wrong.c_str());
  return good ? 0 : 1;
}
