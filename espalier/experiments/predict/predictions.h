// SPDX-License-Identifier: Apache-2.0
/// What a network says of pictures. They become its input by the code that evaluation has.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <espalier/data/dataset.h>
#include <espalier/data/loader.h>
#include <espalier/nn/module/module.h>

namespace espalier::experiments {

/// A class and how sure the network is of it.
struct LikelyClass {
  int64_t index = 0;
  double probability = 0.0;  ///< softmax of the logits
};

/// What was said of all pictures.
struct Predictions {
  std::vector<std::vector<LikelyClass>> images;  ///< of each the likeliest classes, best first
  double milliseconds = 0.0;                     ///< of the network, for one image; no decoding
};

/// The `most` likeliest classes of each sample of `dataset`, equal ones by index. `options` is as
/// for an evaluation. `logits_of` maps (N,C,H,W) of a loader to (N,classes). Throws ValueError for
/// logits that are not finite.
Predictions predict(const std::function<Tensor(const Tensor& images)>& logits_of,
                    std::shared_ptr<const data::Dataset> dataset,
                    const data::LoaderOptions& options,
                    int64_t most);
/// The same of a network, in eval mode.
Predictions predict(nn::Module& model,
                    std::shared_ptr<const data::Dataset> dataset,
                    const data::LoaderOptions& options,
                    int64_t most);

}  // namespace espalier::experiments
