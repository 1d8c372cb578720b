// SPDX-License-Identifier: Apache-2.0
/// Gradients of single samples, or of small groups of them: what empirical Fisher matrices are made
/// of. (Gradients of whole channels' gates, sample by sample: scores/gate_gradients.h.)
#pragma once

#include <span>

#include <espalier/core/parallel.h>
#include <espalier/prune/curvature/landscape.h>

namespace espalier::prune {

/// Which gradients.
struct SampleGradientOptions {
  int64_t gradients = 256;               ///< how many
  int64_t samples = 1;                   ///< each is that of the mean loss of so many samples
  ScoringMode mode = ScoringMode::Eval;  ///< what norms and dropout do
};

/// Samples begin..end-1 of a batch, in plain layout.
data::Batch samples_of(const data::Batch& batch, int64_t begin, int64_t end);

/// How many gradients there are: as many as asked for, or all that a single batch has.
int64_t gradient_count(const PruneInputs& inputs, const SampleGradientOptions& options);

/// Receives the gradients of one group: float64, one tensor per weight, zero at removed positions.
using GradientSink = FunctionRef<void(std::span<const Tensor> gradients)>;

/// Hands out `gradient_count` gradients, from the inputs' batches 0, 1, .., each cut into groups of
/// neighbours (what is left at its end is not used). Throws ValueError without data, and for
/// batches smaller than a group.
void visit_sample_gradients(const nn::Module& model,
                            std::span<const nn::NamedParameter> weights,
                            const PruneInputs& inputs,
                            const SampleGradientOptions& options,
                            GradientSink sink);

}  // namespace espalier::prune
