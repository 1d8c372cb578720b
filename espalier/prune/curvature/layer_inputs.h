// SPDX-License-Identifier: Apache-2.0
/// What a layer multiplies its weight with, seen from data: for methods that prune a trained
/// network layer by layer from a few batches and no training. Nothing is changed here.
///
/// A weight (O, I, R, S) is a matrix here: a row for every output, a column for every input of one
/// position, column = (r S + s) I + i: neighbouring input channels of a tap are neighbours, as the
/// patterns N:M have it. A linear layer is (O, I, 1, 1). With groups, every group has rows and
/// inputs of its own.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <espalier/core/parallel.h>
#include <espalier/nn/module/module.h>
#include <espalier/prune/ground/inputs.h>

namespace espalier::prune {

/// The weight as a float64 matrix (rows, columns).
Tensor as_matrix(const Tensor& weight);
/// A matrix back in the weight's shape, any element type.
Tensor from_matrix(const Tensor& matrix, const Shape& weight);

/// Receives inputs: `weight` is an index into the weights asked for; `x` float64 (positions,
/// columns), in order of the samples, cut into parts of a few thousand positions.
using InputSink = FunctionRef<void(size_t weight, int64_t group, const Tensor& x)>;

/// Runs `model` in eval mode on the batches 0 .. count-1 and hands out the inputs of the layers
/// that own `weights`. A shared layer's come once per use. Throws NotImplemented naming a weight
/// that no called layer multiplies its input with as a whole (`Module::weight_product`).
void visit_layer_inputs(nn::Module& model,
                        std::span<const nn::NamedParameter> weights,
                        const std::function<data::Batch(int64_t)>& batches,
                        int64_t count,
                        InputSink sink);

/// How much is pruned before the network runs again to feed what follows.
enum class Stage : uint8_t {
  Layer,  ///< one layer
  Block   ///< the layers of one block: of a name up to its last number, `blocks.3`, `layer1.0`
};
/// The weights in the order in which their layers are first called, in stages. Throws as
/// `visit_layer_inputs`.
std::vector<std::vector<nn::NamedParameter>> calibration_stages(
    nn::Module& model,
    std::span<const nn::NamedParameter> weights,
    const data::Batch& example,
    Stage stage);

/// Values and masks of weights, to put them back when pruning fails on the way.
class WeightKeeper {
 public:
  /// Copies values and masks.
  explicit WeightKeeper(std::span<const nn::NamedParameter> weights);
  /// Puts them back.
  void restore() const;

 private:
  struct Kept {
    nn::Parameter* parameter;
    Tensor value;
    std::shared_ptr<const sparse::Support> support;
  };
  std::vector<Kept> kept_;
};

/// The batches to calibrate with, those of the inputs, which are to be what training sees. Throws
/// ValueError when there are none.
std::function<data::Batch(int64_t)> calibration_batches(const PruneInputs& inputs);
/// How many of them: as many as asked for, or all that are different, which a note then tells
/// (null: nobody reads it).
int64_t calibration_count(const PruneInputs& inputs,
                          int64_t asked,
                          std::vector<std::string>* notes);

}  // namespace espalier::prune
