// SPDX-License-Identifier: Apache-2.0
// calibrate: ranges of the inputs of quantized layers from a few hundred images.
#include <algorithm>
#include <cmath>

#include <espalier/nn/module/trace.h>
#include <espalier/nn/quantize/quantize.h>

namespace espalier::nn {
namespace {

constexpr int64_t kBins = 2048;
// Shares of min..max that the search of the least error tries.
constexpr int kLeastShare = 20;
constexpr int kMostShare = 100;

// Every sample's values, without padding lanes.
template <class F>
void for_each_value(const Tensor& x, F f) {
  const Tensor values = x.physical().contiguous();
  const float* v = values.data<float>();
  if (x.layout() == Layout::Nchw) {
    for (int64_t i = 0; i < values.numel(); ++i) f(v[i]);
    return;
  }
  const int64_t per_block = x.size(0) == 0 ? 0 : x.numel() / x.size(0) * kLanes;
  for (int64_t i = 0; i < values.numel(); ++i) {
    if (i / per_block * kLanes + i % kLanes < x.size(0)) f(v[i]);
  }
}

class Seen {
 public:
  explicit Seen(LayerQuantizer& quantizer) : quantizer_(quantizer) {}

  void watch_range() {
    quantizer_.set_observer([this](const Tensor& x) {
      const auto [least, largest] = value_range(x);
      histogram_.least = std::min<double>(histogram_.least, least);
      histogram_.largest = std::max<double>(histogram_.largest, largest);
      used_ = true;
    });
  }
  void watch_values() {
    histogram_.counts.assign(kBins, 0);
    const double width = histogram_.largest - histogram_.least;
    const double bins_per_unit = width > 0.0 ? kBins / width : 0.0;
    quantizer_.set_observer([this, bins_per_unit](const Tensor& x) {
      for_each_value(x, [&](float v) {
        const auto bin = static_cast<int64_t>((v - histogram_.least) * bins_per_unit);
        ++histogram_.counts[static_cast<size_t>(std::clamp<int64_t>(bin, 0, kBins - 1))];
      });
    });
  }
  void finish(const CalibrationOptions& options) {
    if (!used_) return;  // a layer that never ran has no range
    const auto [least, largest] = choose_range(histogram_, options);
    quantizer_.set_range(least, largest);
  }

 private:
  LayerQuantizer& quantizer_;
  Histogram histogram_;
  bool used_ = false;
};

// Observers point into this frame: they must go, whatever happens.
class Observation {
 public:
  explicit Observation(Module& model) {
    for (const NamedModule& part : model.named_modules()) {
      auto* quantizer = dynamic_cast<LayerQuantizer*>(part.module);
      if (quantizer != nullptr) quantizers_.push_back(quantizer);
    }
  }
  ~Observation() {
    for (LayerQuantizer* quantizer : quantizers_) quantizer->set_observer({});
  }
  Observation(const Observation&) = delete;
  Observation& operator=(const Observation&) = delete;
  const std::vector<LayerQuantizer*>& quantizers() const { return quantizers_; }

 private:
  std::vector<LayerQuantizer*> quantizers_;
};

int64_t run(Module& model, data::Loader& loader) {
  int64_t samples = 0;
  loader.start_epoch(0);
  while (const std::optional<data::Batch> batch = loader.next()) {
    (void)model(Variable(batch->images));
    samples += batch->size();
  }
  return samples;
}

std::pair<double, double> percentile_range(const Histogram& seen, double percentile) {
  int64_t total = 0;
  for (const int64_t count : seen.counts) total += count;
  const double outside = (1.0 - percentile) * static_cast<double>(total);
  const double width = (seen.largest - seen.least) / static_cast<double>(seen.counts.size());
  size_t low = 0;
  for (int64_t below = seen.counts[low];
       static_cast<double>(below) <= outside && low + 1 < seen.counts.size();) {
    below += seen.counts[++low];
  }
  size_t high = seen.counts.size() - 1;
  for (int64_t above = seen.counts[high]; static_cast<double>(above) <= outside && high > low;) {
    above += seen.counts[--high];
  }
  return {seen.least + width * static_cast<double>(low),
          seen.least + width * static_cast<double>(high + 1)};
}

double squared_error(const Histogram& seen, const sparse::AffineGrid& grid) {
  const double width = (seen.largest - seen.least) / static_cast<double>(seen.counts.size());
  double error = 0.0;
  for (size_t bin = 0; bin < seen.counts.size(); ++bin) {
    if (seen.counts[bin] == 0) continue;
    const double middle = seen.least + width * (static_cast<double>(bin) + 0.5);
    const double off = middle - grid.dequantize(grid.quantize(static_cast<float>(middle)));
    error += static_cast<double>(seen.counts[bin]) * off * off;
  }
  return error;
}

}  // namespace

std::pair<double, double> choose_range(const Histogram& seen, const CalibrationOptions& options) {
  const std::pair<double, double> whole = {seen.least, seen.largest};
  if (options.method == Calibration::MinMax || seen.counts.empty()) return whole;
  if (options.method == Calibration::Percentile) return percentile_range(seen, options.percentile);
  std::pair<double, double> best = whole;
  double least_error = INFINITY;
  for (int share = kMostShare; share >= kLeastShare; --share) {
    const double low = seen.least * share / kMostShare;
    const double high = seen.largest * share / kMostShare;
    const double error = squared_error(seen, sparse::affine_grid(low, high));
    if (error < least_error) {
      least_error = error;
      best = {low, high};
    }
  }
  return best;
}

void calibrate(Module& model, data::Loader& loader, const CalibrationOptions& options) {
  ESPALIER_CHECK(options.percentile > 0.5 && options.percentile <= 1.0,
                 ValueError,
                 "calibrate: expects a percentile above 0.5, at most 1, got ",
                 options.percentile);
  const Observation observation(model);
  ESPALIER_CHECK(!observation.quantizers().empty(),
                 ValueError,
                 "calibrate: the model has no quantizers; attach_quantizers first");
  const EvalScope eval(model);
  const NoGrad no_grad;
  std::vector<Seen> seen;
  seen.reserve(observation.quantizers().size());
  for (LayerQuantizer* quantizer : observation.quantizers()) seen.emplace_back(*quantizer);
  for (Seen& one : seen) one.watch_range();
  ESPALIER_CHECK(run(model, loader) > 0, ValueError, "calibrate: the loader has no samples");
  if (options.method != Calibration::MinMax) {
    for (Seen& one : seen) one.watch_values();
    run(model, loader);
  }
  for (Seen& one : seen) one.finish(options);
}

}  // namespace espalier::nn
