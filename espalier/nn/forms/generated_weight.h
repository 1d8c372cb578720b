// SPDX-License-Identifier: Apache-2.0
/// GeneratedWeight: a weight that a small network makes from the widths of its layer, so that one
/// network stands for those of all widths. The stored weight has no part in it.
///
///   e = crop (G relu(E v + a) + c)      v = (inputs in use / all, outputs in use / all)
///
/// E (hidden,2), a (hidden), G (weights, hidden) and c, in the weight's shape, are trained. With
/// E = 0 weights don't depend on the widths: those of one are a part of those of another.
///
/// Source: Liu, Mu, Zhang, Guo, Yang, Cheng, Sun, arXiv:1903.10258 (the block's PruningNet).
#pragma once

#include <espalier/nn/forms/form.h>

namespace espalier::nn {

/// See above.
class GeneratedWeight : public Form {
 public:
  /// Throws ShapeError for a weight of rank below 2, ValueError unless `hidden` is positive.
  explicit GeneratedWeight(const Shape& weight, int64_t hidden = 32);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  void reset_parameters(const InitRng& rng) override;
  std::string kind() const override { return "generated-weight"; }
  std::map<std::string, double> settings() const override;
  /// In training of the crop, in evaluation of all, both within the weight's own mask.
  Effective effective(const Parameter& weight) override;

  /// Sets what training multiplies with: uint8, in the weight's shape, the places where outputs and
  /// inputs in use meet; undefined for all. It is not saved.
  void set_crop(const Tensor& crop);
  /// The weight for a crop, 0 outside of it; undefined: the whole. With its tape.
  Variable generated(const Tensor& crop) const;

  Parameter encode;         ///< E, (hidden,2)
  Parameter encode_bias;    ///< a, (hidden)
  Parameter generate;       ///< G, (weights, hidden)
  Parameter generate_bias;  ///< c, in the weight's shape

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<GeneratedWeight>(*this);
  }

 private:
  Tensor crop_;
  SupportOf pattern_;
};

/// The shares of a weight's dimensions 1 and 0 (inputs, outputs) that have an index in use.
std::pair<double, double> widths_of(const Tensor& crop);

}  // namespace espalier::nn
