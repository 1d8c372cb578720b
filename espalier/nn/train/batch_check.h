// SPDX-License-Identifier: Apache-2.0
/// Batches that a network can't be trained on, found before training.
#pragma once

#include <espalier/data/loader.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Throws ValueError when an epoch of `loader` has a batch of one sample and a batch norm of
/// `model` sees planes of one value there: a single value has no variance. The text names the layer
/// and what helps. `fit` calls it before its first step. The model stays what it is.
void check_batches(const Module& model, const data::Loader& loader);

}  // namespace espalier::nn
