// SPDX-License-Identifier: Apache-2.0
/// ClipQ: dense weights that are clipped and quantized anew in every pass. A share of the weights
/// nearest to zero is multiplied with as zero, the others as the mean of their interval; the
/// gradient passes straight through to all.
///
///   e = 0 for the clipped, else the mean of the weights in the same of 2^b - 1 intervals
///   dL/dw = dL/de, everywhere
///
/// The clipped are the smallest of the negative and the smallest of the others, the same share of
/// both. What is left on either side is a range, and the intervals are divided between the two by
/// their lengths, at least one for a side that has weights; zero is the last of the 2^b codes.
///
/// Source: Tung, Mori, "CLIP-Q", CVPR 2018.
#pragma once

#include <espalier/nn/forms/form.h>

namespace espalier::nn {

/// See above. Its buffers `mask` (uint8, the newest choice) and `changes` are saved with the
/// network.
class ClipQ : public Form {
 public:
  /// Settings of one form.
  struct Options {
    int64_t kept = 0;  ///< weights that are not clipped
    int64_t bits = 4;  ///< b, 2 .. 16: the layer has at most 2^b values, zero among them
  };

  /// Throws ValueError unless 0 <= kept <= weights and 2 <= bits <= 16.
  ClipQ(const Shape& weight, const Options& options);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;
  std::string kind() const override { return "clip-q"; }
  std::map<std::string, double> settings() const override;
  /// A weight that has a mask keeps it: what it lets through is clipped and quantized. Throws
  /// ValueError when a weight is not a number.
  Effective effective(const Parameter& weight) override;

  /// How many entries were clipped or came back since this was last asked, from one pass to the
  /// next (and to the present weight); from a mask of ones at first. Then forgotten.
  int64_t take_changes(const Parameter& weight);

 protected:
  std::unique_ptr<Module> shallow_copy() const override { return std::make_unique<ClipQ>(*this); }

 private:
  /// For the present weight.
  void quantize(const Parameter& weight);

  Options options_;
  Tensor mask_;       // uint8
  Tensor changes_;    // int64
  Tensor source_;     // the weight that mask_ and quantized_ are of
  Tensor quantized_;  // in the weight's type
  SupportOf pattern_;
};

}  // namespace espalier::nn
