// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <unordered_map>

#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/module/trace.h>
#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/ground/as_double.h>
#include <espalier/prune/ground/by_layer.h>

namespace espalier::prune {
namespace {

constexpr int64_t kPartRows = 4096;

/// Numbers of weights, and whether each was seen.
class WeightNumbers {
 public:
  explicit WeightNumbers(std::span<const nn::NamedParameter> weights) : weights_(weights) {
    for (size_t w = 0; w < weights.size(); ++w) index_.emplace(weights[w].parameter, w);
    seen_.resize(weights.size());
  }

  /// The weight of a product, which counts as seen; null for others.
  const size_t* see(const std::optional<nn::WeightProduct>& product) {
    const auto found = product ? index_.find(product->weight) : index_.end();
    if (found == index_.end()) return nullptr;
    seen_[found->second] = true;
    return &found->second;
  }

  void check_all_seen() const {
    for (size_t w = 0; w < weights_.size(); ++w) {
      ESPALIER_CHECK(seen_[w],
                     NotImplemented,
                     "calibration: no layer multiplies its input with the whole of ",
                     weights_[w].name,
                     ", so its inputs can't be told. Leave it out with exclude");
    }
  }

 private:
  std::span<const nn::NamedParameter> weights_;
  std::unordered_map<const nn::Parameter*, size_t> index_;
  std::vector<bool> seen_;
};

/// Hands out inputs as the batch passes: of a traced run all activations would stay in memory.
class InputListener : public nn::CallListener {
 public:
  using Call = FunctionRef<void(size_t, const nn::WeightProduct&, const Tensor&)>;
  InputListener(WeightNumbers& weights, Call call) : weights_(weights), call_(call) {}
  void enter(nn::Module& module, const Variable& input) override {
    const auto product = module.weight_product(input.shape(), input.layout());
    if (const size_t* weight = weights_.see(product)) call_(*weight, *product, input.value());
  }
  void leave(nn::Module&, const Variable&, const Variable&) override {}

 private:
  WeightNumbers& weights_;
  Call call_;
};

void run(nn::Module& model,
         std::span<const nn::NamedParameter> weights,
         const data::Batch& batch,
         InputListener::Call call) {
  const nn::EvalScope eval(model);
  const NoGrad no_grad;
  WeightNumbers numbers(weights);
  InputListener listener(numbers, call);
  {
    const nn::TraceScope scope(listener);
    model(Variable(batch.images));
  }
  numbers.check_all_seen();
}

/// Positions first..last of one group as rows: every tap's channels, zeros in the padding.
Tensor patches(const Conv2dShape& s, const Tensor& x, int64_t group, int64_t first, int64_t last) {
  const int64_t channels = s.c / s.options.groups;
  const int64_t columns = s.r * s.s * channels;
  Tensor rows = Tensor::zeros({last - first, columns}, DType::F64);
  double* out = rows.data<double>();
  dispatch_floating(x.dtype(), "calibration", [&](auto zero) {
    using T = decltype(zero);
    const T* in = x.data<T>();
    parallel_for(last - first, 64, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t n = (first + row) / (s.p * s.q);
        const int64_t p = (first + row) / s.q % s.p;
        const int64_t q = (first + row) % s.q;
        for (int64_t tap = 0; tap < s.r * s.s; ++tap) {
          const int64_t h =
              p * s.options.stride.h - s.options.padding.h + tap / s.s * s.options.dilation.h;
          const int64_t w =
              q * s.options.stride.w - s.options.padding.w + tap % s.s * s.options.dilation.w;
          if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
          const T* plane = in + ((n * s.c + group * channels) * s.h + h) * s.w + w;
          double* to = out + row * columns + tap * channels;
          for (int64_t c = 0; c < channels; ++c) to[c] = plane[c * s.h * s.w];
        }
      }
    });
  });
  return rows;
}

}  // namespace

Tensor as_matrix(const Tensor& weight) {
  const Tensor exact = as_double(weight);
  if (exact.rank() == 2) return exact;
  const Shape& s = exact.shape();
  return exact.reshape({s[0], s[1], exact.numel() / (s[0] * s[1])})
      .permute({0, 2, 1})
      .contiguous()
      .reshape({s[0], exact.numel() / s[0]});
}

Tensor from_matrix(const Tensor& matrix, const Shape& weight) {
  if (weight.rank() == 2) return matrix;
  const int64_t taps = weight.numel() / (weight[0] * weight[1]);
  return matrix.reshape({weight[0], taps, weight[1]})
      .permute({0, 2, 1})
      .contiguous()
      .reshape(weight);
}

void visit_layer_inputs(nn::Module& model,
                        std::span<const nn::NamedParameter> weights,
                        const std::function<data::Batch(int64_t)>& batches,
                        int64_t count,
                        InputSink sink) {
  for (int64_t index = 0; index < count; ++index) {
    run(model,
        weights,
        batches(index),
        [&](size_t weight, const nn::WeightProduct& product, const Tensor& input) {
          const Conv2dShape& s = product.shape;
          const Tensor x = input.to(Layout::Nchw).contiguous().reshape({s.n, s.c, s.h, s.w});
          const int64_t positions = s.n * s.p * s.q;
          for (int64_t group = 0; group < s.options.groups; ++group) {
            for (int64_t first = 0; first < positions; first += kPartRows) {
              const int64_t last = std::min(first + kPartRows, positions);
              sink(weight, group, patches(s, x, group, first, last));
            }
          }
        });
  }
}

std::vector<std::vector<nn::NamedParameter>> calibration_stages(
    nn::Module& model,
    std::span<const nn::NamedParameter> weights,
    const data::Batch& example,
    Stage stage) {
  std::vector<size_t> order;
  WeightNumbers numbers(weights);
  const nn::NetworkGraph graph = nn::trace_network(model, Variable(example.images));
  for (const nn::GraphCall& call : graph.calls) {
    const nn::GraphValue& input = graph.value(call.input);
    const size_t* weight = numbers.see(call.module->weight_product(input.shape, input.layout));
    if (weight == nullptr) continue;
    if (std::find(order.begin(), order.end(), *weight) == order.end()) order.push_back(*weight);
  }
  numbers.check_all_seen();
  std::vector<std::vector<nn::NamedParameter>> stages;
  for (size_t w : order) {
    const bool same = stage == Stage::Block && !stages.empty() &&
                      block_of_layer(stages.back().back().name) == block_of_layer(weights[w].name);
    if (!same) stages.emplace_back();
    stages.back().push_back(weights[w]);
  }
  return stages;
}

WeightKeeper::WeightKeeper(std::span<const nn::NamedParameter> weights) {
  for (const nn::NamedParameter& one : weights) {
    kept_.push_back({one.parameter, one.parameter->value.value().clone(), one.parameter->support});
  }
}

void WeightKeeper::restore() const {
  for (const Kept& one : kept_) {
    one.parameter->value.value().copy_(one.value);
    one.parameter->set_support(one.support);
  }
}

std::function<data::Batch(int64_t)> calibration_batches(const PruneInputs& inputs) {
  ESPALIER_CHECK(inputs.batch,
                 ValueError,
                 "calibration: needs data; set PruneInputs::batch, or prune inside of fit()");
  return inputs.batch;
}

int64_t calibration_count(const PruneInputs& inputs,
                          int64_t asked,
                          std::vector<std::string>* notes) {
  if (inputs.single_batch) return 1;
  if (inputs.batches == 0 || asked <= inputs.batches) return asked;
  if (notes != nullptr) {
    notes->push_back(cat("asked for ",
                         asked,
                         " batches to calibrate with; the training data has ",
                         inputs.batches,
                         ", which were used once each"));
  }
  return inputs.batches;
}

}  // namespace espalier::prune
