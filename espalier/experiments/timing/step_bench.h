// SPDX-License-Identifier: Apache-2.0
/// One training or inference step of a network on a fixed batch, to be timed: forward, loss,
/// backward, SGD with momentum and weight decay. What `espalier bench train` and `infer` run.
#pragma once

#include <memory>
#include <optional>

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/timing/rounds.h>
#include <espalier/nn/introspect/explain.h>
#include <espalier/nn/introspect/training_memory.h>
#include <espalier/nn/train/sgd.h>

namespace espalier::experiments::timing {

/// Normal pixels (N,C,H,W) in the layout of training, the same for every call.
Tensor random_images(const Network& network, int64_t batch);

/// A random mask.
struct RandomMask {
  double sparsity = 0.9;
  std::string pattern = "unstructured";
  std::string allocation = "uniform";  ///< as the option of the method `random`
  uint64_t seed = 0;
};
/// Masks the prunable weights of a network. Throws ValueError for unknown names.
void mask_randomly(Network& network, const RandomMask& mask);

/// Puts the gates of a run-time method (`fbs`, `skipnet`) on a network with initial weights, at
/// random, but with statistics that fit: of each layer's channels, or values, `sparsity` are left
/// out, or each gated block by `sparsity` of sixteen random images. Throws ValueError for another
/// method.
void gate_randomly(Network& network, const std::string& method, double sparsity, uint64_t seed = 0);

/// A side whose dense convolutions are computed in one way, whatever is in use otherwise.
Side by_algorithm(Conv2dAlgorithm algorithm, Side side);

/// A network, a batch and an optimizer.
class StepBench {
 public:
  /// The batch is random and the same for every network of one image size; in planes for a gated
  /// network, else in lanes. Throws ValueError for a network that is not fed images.
  StepBench(Network network, int64_t batch);
  /// On these images, (N,C,H,W), which decide what a gated network computes.
  StepBench(Network network, const Tensor& images);

  /// A training step. The object must outlive it.
  Side train_step();
  /// How its ops keep values for the backward pass from now on.
  void keep_as(SavedAs how) { saved_as_ = how; }
  /// As what plans hold weights from now on.
  void hold_weights_as(nn::PlanWeights how) { plan_weights_ = how; }
  /// Seconds that a mask update of dynamic sparse training adds to two training steps: dense
  /// gradients to choose from, and new patterns, whose index streams the step after it builds.
  /// Choosing itself is not in it. Each call makes two steps without and two with an update, one
  /// behind the other, and returns the difference, which chance can make negative. The object must
  /// outlive it.
  Side mask_update();
  /// An unrecorded forward pass in eval mode. The object must outlive it.
  Side infer();
  /// The same as a compiled plan, into memory that is there already, with dense convolutions
  /// compiled for `dense` where given. PlanFormat::Auto skips zeros that have no mask too, so that
  /// a network whose masks were taken off is dense with PlanFormat::Dense alone. The object must
  /// outlive it.
  Side infer_compiled(nn::PlanFormat format = nn::PlanFormat::Auto,
                      std::optional<Conv2dAlgorithm> dense = {});
  /// Whether the plan of the newest `infer_compiled` runs its images one by one in planes.
  bool compiled_in_planes() const { return compiled_in_planes_; }
  /// Multiply-accumulates that it executes.
  int64_t compiled_macs() const { return compiled_macs_; }
  /// A compiled plan that gets the images one after another, each in planes. The object must
  /// outlive it.
  Side infer_one_by_one(nn::PlanFormat format = nn::PlanFormat::Auto);

  /// What each layer runs and why, timed layer by layer.
  std::vector<nn::LayerExplanation> explain();

  /// What a training step was foretold to take.
  nn::TrainingMemory training_memory() {
    const SavedAsScope keeps(saved_as_);
    return nn::training_memory(*network_.module, *optimizer_, network_.sample(), batch());
  }
  /// Multiply-accumulates that kernels execute in a training step: three times those of the forward
  /// pass, without the first layer's gradient of the images.
  int64_t train_macs() const { return train_macs_; }
  /// The same for a forward pass.
  int64_t infer_macs() const { return infer_macs_; }
  Network& network() { return network_; }
  int64_t batch() const { return images_.size(0); }

 private:
  void set_up(Tensor images);

  Network network_;
  SavedAs saved_as_ = SavedAs::AsTheyAre;
  nn::PlanWeights plan_weights_ = nn::PlanWeights::Float32;
  Tensor images_;
  Tensor labels_;
  std::unique_ptr<nn::Sgd> optimizer_;
  /// A plan and where its results go.
  struct Compiled {
    nn::InferencePlan plan;
    Tensor output;
  };
  std::vector<std::unique_ptr<Compiled>> compiled_;
  int64_t train_macs_ = 0;
  int64_t infer_macs_ = 0;
  bool compiled_in_planes_ = false;
  int64_t compiled_macs_ = 0;
};

}  // namespace espalier::experiments::timing
