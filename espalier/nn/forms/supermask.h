// SPDX-License-Identifier: Apache-2.0
/// Supermask: a choice among weights that are never trained. Every weight has a score, the k
/// weights of the layer with the largest |score| are multiplied with, and the gradient passes
/// straight through to the scores of all.
///
///   e = w * m,  m = 1 where |s| is among the k largest    dL/ds = dL/de * w * sign(s), everywhere
///
/// Source: Ramanujan, Wortsman, Kembhavi, Farhadi, Rastegari, arXiv:1911.13299 (edge-popup); as the
/// published code, which ranks |s|, not s.
#pragma once

#include <espalier/nn/forms/form.h>

namespace espalier::nn {

/// See above.
class Supermask : public Form {
 public:
  /// Scores uniform in +-1/sqrt(fan_in). Throws ValueError as `keep`.
  Supermask(const Shape& weight, int64_t kept);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  void reset_parameters(const InitRng& rng) override;
  std::string kind() const override { return "supermask"; }
  std::map<std::string, double> settings() const override;
  /// The weight gets no gradient. A weight that has a mask keeps it: the k are chosen in it.
  Effective effective(const Parameter& weight) override;

  /// Weights that are multiplied with from now on. Throws ValueError unless 0 .. all.
  void keep(int64_t weights);
  /// k.
  int64_t kept() const { return kept_; }

  Parameter scores;  ///< in the weight's shape

 protected:
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<Supermask>(*this);
  }

 private:
  int64_t kept_ = 0;
  SupportOf pattern_;
};

}  // namespace espalier::nn
