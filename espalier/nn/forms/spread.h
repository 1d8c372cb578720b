// SPDX-License-Identifier: Apache-2.0
/// Spread: which entries of a weight each number of a form goes with. What forms with a number for
/// each weight, output, input or stripe have in common.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// See above.
class Spread {
 public:
  /// What one number goes with.
  enum class Grain : uint8_t {
    Weights,  ///< one weight
    Outputs,  ///< all weights of an output channel: dimension 0
    Inputs,   ///< all weights that read an input channel: dimension 1
    Stripes,  ///< all weights of an output channel at one place of the kernel
  };
  /// Settings.
  struct Options {
    Grain grain = Grain::Weights;  ///< what one number goes with
    /// Of Outputs and Inputs: the number, 0 .. count-1, of every index of that dimension, -1 for
    /// none (inputs of a flattened plane share one). Empty: each index has its own.
    std::vector<int64_t> number_of = {};
    int64_t count = 0;  ///< of `number_of`
  };

  /// Throws ShapeError for a weight of rank below 2, ValueError for a `number_of` that does not
  /// fit.
  Spread(const Shape& weight, const Options& options);

  /// The numbers' shape: the weight's, (K,1,..), (1,C,1,..), (K,1,R,S), or with `number_of`
  /// (count).
  const Shape& numbers() const { return numbers_; }
  /// Numbers as numbers of entries, ready to multiply a weight; `where_none` where there is none.
  Variable operator()(const Variable& numbers, double where_none) const;
  /// The same without a tape, in the weight's whole shape.
  Tensor over(const Shape& weight, const Tensor& numbers, double where_none) const;
  /// 1 where a number, as `operator()` gave it, is not zero and the weight's own mask is open.
  static Tensor open_mask(const Tensor& spread, const Parameter& weight);

  /// Which number is whose, of `number_of`: saved.
  void visit(MemberVisitor& visitor);
  /// `grain` and `gates`, for a description.
  std::map<std::string, double> settings() const;
  /// What such settings say, with `number_of` still to be loaded. Throws ValueError.
  static Options described(const PartPlace& place, const PartDescription& description);

 private:
  Options options_;
  Tensor place_;   // with `number_of`: of every index its number + 1, 0 for none; int64
  Shape spread_;   // (K,1,..), (1,C,1,..), ..
  Shape numbers_;  // of what is trained
};

}  // namespace espalier::nn
