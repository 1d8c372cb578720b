// SPDX-License-Identifier: Apache-2.0
/// Joint loss: what the outputs of one layer have lost against the original network, and what a
/// classifier in front of the network's end loses by it. As a function of that layer's weight.
///
///   L = 1/(2Q) ||O - O'||^2 + lambda L_S      Q numbers in O, the layer's outputs
///
/// The layers are divided into stages of equal numbers, by the order in which they run. L_S is the
/// loss of an auxiliary head (batch norm, ReLU, mean over the plane, linear layer) on the outputs
/// of the last layer of the stage, and in the last stage the network's own. Heads are no part of
/// the network and go with this object.
///
/// Source: Zhuang, Tan, Zhuang, Liu, Guo, Wu, Huang, Zhu, arXiv 1810.11809, equations 1 to 4.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <espalier/nn/module/module.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/ground/inputs.h>

namespace espalier::prune {

/// Settings of a joint loss.
struct JointLossOptions {
  double lambda = 1.0;        ///< of L_S; 0: there are no heads
  int64_t heads = 3;          ///< auxiliary ones: a stage less than there are
  int64_t warmup = 100;       ///< steps in which network and head learn when a stage begins
  double warmup_rate = 0.01;  ///< of these steps
  nn::SgdOptions sgd = {.lr = 0.01, .momentum = 0.9, .nesterov = true};  ///< of `descend`
  double weight_decay = 1e-4;                                            ///< of both
};

/// See above. `model` runs in evaluation, but for the steps when a stage begins.
class JointLoss {
 public:
  /// `model` and `original` must live as long; `weights` are all that may read something, whose
  /// layers make the stages. `count` batches of `inputs` are a pass. Says in `notes` which head
  /// could not be made.
  JointLoss(nn::Module& model,
            nn::Module& original,
            std::vector<nn::NamedParameter> weights,
            const PruneInputs& inputs,
            int64_t count,
            const JointLossOptions& options,
            std::vector<std::string>& notes);
  ~JointLoss();

  /// Turns to the weight of a layer. If that is in another stage than the one before, the stage's
  /// head is made, and learns with the network, by the head's loss and the network's.
  void turn_to(const nn::NamedParameter& reader);

  /// The mean of L and of dL/dW over a pass.
  struct Slope {
    double loss = 0.0;  ///< L
    Tensor gradient;    ///< float64, in the weight's shape; 0 where the weight has a mask
  };
  /// Of the weight turned to.
  Slope slope();
  /// A pass of steps of gradient descent on the weight turned to, of what its mask leaves.
  void descend();
  /// Forgets the pass and what is compared with, until it is turned to a weight again.
  void let_go();
  /// The head of the present stage; null: the network's own end is in its place.
  nn::Module* head() { return head_.get(); }

 private:
  struct Outputs;
  Variable loss(size_t batch);
  Variable loss_of(const Variable& logits, const data::Batch& batch) const;
  Variable auxiliary(const Outputs& outputs, const data::Batch& batch);
  void begin_stage(size_t stage);
  std::unique_ptr<nn::Module> make_head(size_t stage);

  nn::Module& model_;
  nn::Module& original_;
  const PruneInputs& inputs_;
  JointLossOptions options_;
  std::vector<std::string>& notes_;
  std::vector<nn::NamedParameter> order_;  // as they run
  std::vector<size_t> ends_;               // of stages but the last, in `order_`
  int64_t count_;
  std::vector<data::Batch> pass_;
  int64_t next_batch_ = 0;  // of those that warm up
  size_t stage_;
  std::unique_ptr<nn::Module> head_;  // null: the network's own end
  nn::NamedParameter reader_ = {};
  std::vector<Tensor> wanted_;  // O' of the pass
};

}  // namespace espalier::prune
