// SPDX-License-Identifier: Apache-2.0
/// Drawn labels: samples with labels that the network draws from its own answers, instead of those
/// of the data. The mean square of gradients then is the true Fisher matrix's diagonal, which for a
/// cross-entropy is that of Gauss-Newton's matrix, and half of it, times a small change squared, is
/// what the answers change by: KL(before || after). Source: Martens, "New insights and
/// perspectives on the natural gradient method", arXiv 1412.1193.
#pragma once

#include <espalier/prune/ground/inputs.h>

namespace espalier::prune {

/// The same batches with labels drawn from the softmax of the model's logits in eval mode; equal
/// `rng`s draw equal labels for a batch. Valid while the model lives.
PruneInputs with_drawn_labels(nn::Module& model, const PruneInputs& inputs, const Rng& rng);

}  // namespace espalier::prune
