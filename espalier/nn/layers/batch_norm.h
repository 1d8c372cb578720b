// SPDX-License-Identifier: Apache-2.0
/// Batch normalization layers: normalized per channel with the batch's statistics in training, with
/// running ones in evaluation.
#pragma once

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/scaling_form.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// What the batch-norm layers share. Parameters `weight` (1) and `bias` (0), buffers `running_mean`
/// (0) and `running_var` (1), all (channels); without `affine` buffers alone.
class BatchNorm : public Module, public FormedNorm {
 public:
  /// Settings of the layer.
  struct Options {
    int64_t channels = 0;   ///< of input and output
    double momentum = 0.1;  ///< share of the newest batch in the running statistics
    double eps = 1e-5;      ///< added to the variance
    bool relu = false;      ///< apply max(.., 0) in the same pass
    bool affine = true;     ///< learn a scale and a shift; else they are 1 and 0
  };

  /// Throws ValueError when `channels` is not positive.
  explicit BatchNorm(const Options& options);

  void visit(MemberVisitor& visitor) override;
  ChannelCoupling channel_coupling() const override;
  LayerSizes sizes() const override;
  LayerSizes sizes_keeping(const KeptChannels& kept) const override;
  void set_sizes(const LayerSizes& sizes) override;
  void reset_parameters(const InitRng& rng) override;

  /// The sizes and choices that it was built with.
  const Options& options() const { return options_; }

  /// max((*this)(x) + residual, 0), in one pass over memory; a layer with `relu` may not be used
  /// so (ValueError). While the network is traced, as the three steps that it stands for.
  Variable add_relu(const Variable& x, const Variable& residual);

  /// The scale of each channel, with `affine` or without.
  std::vector<double> scales() const;
  /// The shift of each channel.
  std::vector<double> shifts() const;

  Parameter weight;     ///< scale, (channels); undefined without `affine`
  Parameter bias;       ///< shift, (channels); undefined without `affine`
  Tensor running_mean;  ///< (channels)
  Tensor running_var;   ///< (channels)

 protected:
  /// The layer's function.
  Variable normalize(const Variable& x) { return normalize(x, {}, options_.relu); }
  /// The same; a defined `residual` is added before the ReLU.
  Variable normalize(const Variable& x, const Variable& residual, bool relu);
  /// `kind(channels)`, with the settings that are not the default.
  std::string describe_as(std::string_view kind) const;

 private:
  Options options_;
};

/// Batch norm of images: x (N,C,H,W), in x's layout.
class BatchNorm2d : public BatchNorm {
 public:
  /// Throws ValueError when `channels` is not positive.
  explicit BatchNorm2d(const Options& options) : BatchNorm(options) {}
  std::string describe() const override;

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<BatchNorm2d>(*this);
  }
};

/// Batch norm of vectors: x (N,C), in x's layout.
class BatchNorm1d : public BatchNorm {
 public:
  /// Throws ValueError when `channels` is not positive.
  explicit BatchNorm1d(const Options& options) : BatchNorm(options) {}
  std::string describe() const override;

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<BatchNorm1d>(*this);
  }
};

}  // namespace espalier::nn
