// SPDX-License-Identifier: Apache-2.0
/// 8-bit networks: attach quantizers to all layers that can compute so, find the ranges of their
/// inputs after training, or train with rounding in the loop. What one layer does is
/// layer_quantizer.h.
///
/// Source: Jacob et al., arXiv:1712.05877; Krishnamoorthi, arXiv:1806.08342.
#pragma once

#include <string>
#include <vector>

#include <espalier/data/loader.h>
#include <espalier/nn/quantize/layer_quantizer.h>
#include <espalier/nn/train/fit.h>

namespace espalier::nn {

/// Gives every convolution and linear layer a quantizer, where it has no form; first and last layer
/// too. Returns the names of layers with prunable weights that stay in float32, because they have
/// no 8-bit kernel or another form.
std::vector<std::string> attach_quantizers(Module& model);
/// True when any layer has one.
bool is_quantized(Module& model);

/// How a range is chosen from the inputs that were seen.
enum class Calibration : uint8_t {
  MinMax,      ///< all of them
  Percentile,  ///< without the outermost ones on either side
  Mse,         ///< the share of min..max with the least mean squared rounding error
};

/// Settings of `calibrate`.
struct CalibrationOptions {
  Calibration method = Calibration::Mse;  ///< how a range is chosen
  double percentile = 0.999;  ///< of Percentile, in (0.5, 1]: so much is below the upper end
};

/// Runs `model` in eval mode and float32 over the loader's epoch 0 (twice, for a histogram) and
/// sets the range of every quantizer. 200 to 1000 images are enough. Throws ValueError for a model
/// without quantizers, a loader without samples, a percentile out of range.
void calibrate(Module& model, data::Loader& loader, const CalibrationOptions& options);

/// Counts of values between two ends in equal bins: what calibration chooses a range from.
struct Histogram {
  double least = 0.0;           ///< lower end of the first bin
  double largest = 0.0;         ///< upper end of the last
  std::vector<int64_t> counts;  ///< of each bin
};
/// The range that `options` chooses, within the histogram's ends.
std::pair<double, double> choose_range(const Histogram& seen, const CalibrationOptions& options);

/// Quantization-aware training: from `freeze_at` (a fraction of training) on, ranges stand still. A
/// function of the step alone, so a killed run needs no state of it.
class QuantizationAware : public TrainHook {
 public:
  /// Throws ValueError unless freeze_at is in 0..1.
  explicit QuantizationAware(double freeze_at);
  void before_step(TrainState& state) override;

 private:
  double freeze_at_;
};

/// One layer on its integer grid.
struct QuantizedLayer {
  std::string name;           ///< dotted
  int64_t weights = 0;        ///< elements of the weight
  int64_t nonzero_float = 0;  ///< of the float weight
  int64_t nonzero = 0;        ///< after rounding: never more
  double least = 0.0;         ///< range of the input
  double largest = 0.0;       ///< its upper end
  double scale = 1.0;         ///< of the input
  int32_t zero = 0;           ///< the q of 0.0
};
/// All layers that have a calibrated quantizer.
std::vector<QuantizedLayer> quantized_layers(Module& model);

/// A weight (K, ..) and bias (K; undefined is 0) that make a batch norm in evaluation redundant:
/// w' = w g / sqrt(var + eps), b' = beta + (b - mean) g / sqrt(var + eps).
struct Folded {
  Tensor weight;  ///< in the shape of the given one
  Tensor bias;    ///< (K)
};
/// See Folded. The norm's tensors have (K) elements.
Folded fold_batch_norm(const Tensor& weight,
                       const Tensor& bias,
                       const Tensor& gamma,
                       const Tensor& beta,
                       const Tensor& mean,
                       const Tensor& variance,
                       double eps);

}  // namespace espalier::nn
