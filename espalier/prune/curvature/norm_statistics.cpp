// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/norm_statistics.h>

#include <map>
#include <vector>

#include <espalier/autograd/ops.h>
#include <espalier/core/error.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/module/trace.h>

namespace espalier::prune {
namespace {

/// Adds up what every call of a layer leaves in its running statistics.
class StatisticsListener : public nn::CallListener {
 public:
  void enter(nn::Module& module, const Variable&) override {
    nn::BatchNorm* layer = measured(module);
    if (layer == nullptr) return;
    // From zero, running = momentum * batch.
    layer->running_mean.fill_(0.0);
    layer->running_var.fill_(0.0);
  }

  void leave(nn::Module& module, const Variable&, const Variable&) override {
    nn::BatchNorm* layer = measured(module);
    if (layer == nullptr) return;
    Sums& sums = sums_[layer];
    ++sums.calls;
    add(sums.mean, layer->running_mean, layer->options().momentum);
    add(sums.var, layer->running_var, layer->options().momentum);
  }

  /// Writes the means; returns the layers.
  int64_t finish() {
    for (auto& [layer, sums] : sums_) {
      put(layer->running_mean, sums.mean, sums.calls);
      put(layer->running_var, sums.var, sums.calls);
    }
    return static_cast<int64_t>(sums_.size());
  }

 private:
  struct Sums {
    std::vector<double> mean, var;
    int64_t calls = 0;
  };

  /// Null for other layers, and for those that are told never to learn statistics.
  static nn::BatchNorm* measured(nn::Module& module) {
    auto* layer = dynamic_cast<nn::BatchNorm*>(&module);
    return layer != nullptr && layer->options().momentum > 0.0 ? layer : nullptr;
  }

  static void add(std::vector<double>& sums, const Tensor& running, double momentum) {
    const std::vector<double> values = running.to_vector<double>();
    sums.resize(values.size(), 0.0);
    for (size_t c = 0; c < values.size(); ++c) sums[c] += values[c] / momentum;
  }

  static void put(Tensor& running, std::vector<double> sums, int64_t calls) {
    for (double& sum : sums) sum /= static_cast<double>(calls);
    running.copy_(Tensor::from(running.shape(), sums).to(running.dtype()));
  }

  std::map<nn::BatchNorm*, Sums> sums_;
};

}  // namespace

int64_t recalibrate_batch_norm(nn::Module& model,
                               const std::function<data::Batch(int64_t)>& batches,
                               int64_t count) {
  ESPALIER_CHECK(
      count > 0, ValueError, "recalibrate_batch_norm: expects at least one batch, got ", count);
  const nn::EvalScope eval(model);
  bool any = false;
  for (const nn::NamedModule& part : model.named_modules()) {
    if (dynamic_cast<nn::BatchNorm*>(part.module) == nullptr) continue;
    part.module->train(true);
    any = true;
  }
  if (!any) return 0;
  const NoGrad no_grad;
  StatisticsListener listener;
  const nn::TraceScope scope(listener);
  for (int64_t index = 0; index < count; ++index) model(Variable(batches(index).images));
  return listener.finish();
}

}  // namespace espalier::prune
