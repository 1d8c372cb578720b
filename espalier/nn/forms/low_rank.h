// SPDX-License-Identifier: Apache-2.0
/// LowRank: factors in the place of a weight. The layer runs them one after another, two or three
/// small products with nothing between them, and trains them; the stored weight rests.
///
///   matrix   (O,I)      y = U (V x)                              U (O,R), V (R,I)
///   channel  (T,S,h,w)  h x w from S to R channels, 1x1 to T     R is of the whole kernels
///   spatial             h x 1 from S to R, 1 x w to T            stride and padding by direction
///   tucker2             1x1 from S to Q, h x w to R, 1x1 to T    stride and padding in the middle
///
/// What the layer computes is what a weight with
///   w[t,s,i,j] = sum_r U[t,r] V[r,s,i,j],  sum_r U[t,r,j] V[r,s,i],  sum_rq U[t,r] G[r,q,i,j]
///   V[q,s]
/// computes, up to rounding; `fold` leaves that one.
///
/// Source: Denton et al., arXiv:1404.0736 (channel); Jaderberg, Vedaldi, Zisserman, arXiv:1405.3866
/// (spatial); Kim et al., arXiv:1511.06530 (tucker2).
#pragma once

#include <vector>

#include <espalier/nn/forms/form.h>

namespace espalier::nn {

/// See above. For convolutions of one group and linear layers.
class LowRank : public Form {
 public:
  /// How a weight is cut.
  enum class Split : uint8_t {
    Matrix,   ///< of linear layers
    Channel,  ///< of convolutions
    Spatial,  ///< of convolutions
    Tucker2,  ///< of convolutions
  };
  /// Settings of one form.
  struct Options {
    Split split = Split::Matrix;  ///< how
    int64_t rank = 1;             ///< R
    int64_t inner = 1;            ///< Q, of Tucker2
  };

  /// Factors are zero until `set_factors`. Throws ShapeError when the split is not one for a weight
  /// of this rank, ValueError unless ranks are at least 1 and at most those of `full`.
  LowRank(const Shape& weight, const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  std::string kind() const override { return "low-rank"; }
  std::map<std::string, double> settings() const override;
  Variable product(const Variable& x, const LayerProduct& layer) override;
  /// The product of the factors. The weight gets no gradient.
  Effective effective(const Parameter& weight) override;
  bool has_factors() const override { return true; }
  std::vector<Conv2dShape> factor_products(const Conv2dShape& shape) const override;

  /// Shapes of the factors in the order in which they run.
  std::vector<Shape> factor_shapes() const;
  /// Takes these values. Throws ShapeError for other shapes than `factor_shapes`.
  void set_factors(const std::vector<Tensor>& factors);
  /// What was asked for.
  const Options& options() const { return options_; }
  /// The ranks at which factors can be any weight of this shape. Throws as the constructor.
  static Options full(const Shape& weight, Split split);
  /// Numbers of a weight of this shape in such factors.
  static int64_t numbers(const Shape& weight, const Options& options);

  Parameter first;   ///< reads the layer's input
  Parameter middle;  ///< of Tucker2: the core; else undefined
  Parameter last;    ///< makes the layer's output

 protected:
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<LowRank>(*this); }

 private:
  /// How the factors of a convolution walk.
  std::vector<Conv2dOptions> walks(const Conv2dOptions& whole) const;
  std::vector<const Parameter*> chain() const;

  Options options_;
  Shape weight_;
};

}  // namespace espalier::nn
