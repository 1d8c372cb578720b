// SPDX-License-Identifier: Apache-2.0
/// Form: what a layer multiplies with. A part of a layer, saved and optimized with it. It makes the
/// effective weight out of the stored one and of parameters of its own, and tells the op which
/// entries are zero, so that kernels skip them. Layers know no kinds of forms; `slots.h` finds the
/// places where one may be.
///
///   stored weight w  ->  effective(w) = {e, where e is not zero, which gradient}  ->  op(x, e)
///
/// Parameters of forms that should not decay say so themselves (`Parameter::decays`).
#pragma once

#include <memory>
#include <vector>

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/nn/forms/attached.h>

namespace espalier::nn {

/// A weight as an op takes it.
struct Effective {
  Variable value;  ///< zero wherever the support of `sparsity` is
  /// Which entries exist and which gradient is asked for; these may differ from each other.
  sparse::WeightSparsity sparsity = {};
};

/// What a layer knows of its product.
struct LayerProduct {
  const Parameter& weight;              ///< as stored
  const Parameter& bias;                ///< undefined without
  const Conv2dOptions* conv = nullptr;  ///< null: a linear layer
};

/// See above.
class Form : public Attached {
 public:
  /// The layer's output for its input x, as of the ops conv2d and linear. Here: the op with the
  /// effective weight.
  virtual Variable product(const Variable& x, const LayerProduct& layer);
  /// What takes the weight's place, for one forward pass. In training a form may sample or count
  /// here: a layer that reads its weight several times in a pass asks once. Here: the weight
  /// itself.
  virtual Effective effective(const Parameter& weight);
  /// Entries that are multiplied with in evaluation; null: all.
  std::shared_ptr<const sparse::Support> support(const Parameter& weight);
  /// True when `product` is more than an op with another weight: such a form can be on
  /// convolutions and linear layers alone, and can't be folded.
  virtual bool replaces_product() const { return false; }
  /// True when `product` is ops with parameters of the form alone, one after another: they are
  /// counted in the weight's place, and a plan takes them as they are.
  virtual bool has_factors() const { return false; }
  /// These ops, in their order, in the place of a product of this shape.
  virtual std::vector<Conv2dShape> factor_products(const Conv2dShape&) const { return {}; }
  /// Puts its effect, as in evaluation, into `weight`: the layer computes the same without the
  /// form. Where the effective weight is zero by its support, the weight has a mask then. Throws
  /// NotImplemented if `replaces_product()`.
  virtual void fold(Parameter& weight);

 protected:
  /// Forms are run by their layers. Throws NotImplemented.
  Variable forward(const Variable& x) override;
};

/// The weight of a layer that has a form, or none (null).
Effective effective_weight(const std::shared_ptr<Form>& form, const Parameter& weight);
/// Throws NotImplemented naming the layer when a form, which has sizes of its own, is in the way of
/// other sizes.
void check_resizable(const std::shared_ptr<Form>& form, std::string_view layer);

/// A support that is made again only when its mask changes, so that what kernels derive from it
/// stays.
class SupportOf {
 public:
  /// The support of a mask (uint8, contiguous), which may be kept.
  const std::shared_ptr<const sparse::Support>& operator()(const Tensor& mask);

 private:
  std::shared_ptr<const sparse::Support> support_;
};

}  // namespace espalier::nn
