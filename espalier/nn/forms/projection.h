// SPDX-License-Identifier: Apache-2.0
/// Projection: a head that takes the classifier's place while a network is trained by comparing
/// views. In evaluation the classifier is there as it was, and `fold` leaves it alone.
///
///   in training  y = A relu(B x + b) + a, x the classifier's input    in evaluation  the layer's
///   own
///
/// Source: Chen, Kornblith, Norouzi, Hinton, arXiv:2002.05709 (SimCLR): two layers, as wide inside
/// as the features, and thrown away after training.
#pragma once

#include <espalier/nn/forms/form.h>

namespace espalier::nn {

/// See above. For linear layers.
class Projection : public Form {
 public:
  /// A head for a classifier's weight (O,I) that gives `width` numbers. Throws ShapeError for a
  /// weight of another rank, ValueError unless width is 1 .. 4096.
  Projection(const Shape& weight, int64_t width);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  void reset_parameters(const InitRng& rng) override;
  std::string kind() const override { return "projection"; }
  std::map<std::string, double> settings() const override;
  Variable product(const Variable& x, const LayerProduct& layer) override;

  Parameter hidden;       ///< B, (I,I)
  Parameter hidden_bias;  ///< b, (I)
  Parameter out;          ///< A, (width,I)
  Parameter out_bias;     ///< a, (width)

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<Projection>(*this);
  }
};

}  // namespace espalier::nn
