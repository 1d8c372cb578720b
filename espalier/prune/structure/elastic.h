// SPDX-License-Identifier: Apache-2.0
/// Elastic ticket transformations: weights and masks of a residual network for a deeper or
/// shallower one of the same family. Whole blocks are repeated or left out; nothing is trained or
/// searched. The weights are to be those that the ticket is rewound to, at initialization (a run of
/// no epochs), not trained ones. Stages of a VGG, whose layers differ in width, are not known here.
/// Source: Chen et al., arXiv:2103.16547, section 3.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <espalier/core/tensor.h>
#include <espalier/nn/module/module.h>

namespace espalier::prune {

/// Which block of the source a block of a stage comes from.
enum class BlockOrder : uint8_t {
  Interpolate,  ///< neighbours repeat: 1 1 2 2; fewer blocks: evenly spaced ones
  Append,       ///< the whole row repeats: 1 2 1 2; fewer blocks: the first ones
};

/// For each of `target` blocks of a stage its block of `source` many. Block 0, which changes the
/// sizes, is always the source's block 0. Throws ValueError for counts below 1, and when there is
/// no other block to repeat.
std::vector<int64_t> elastic_blocks(int64_t source, int64_t target, BlockOrder order);

/// The state dict of another depth for `target`, a network with stages `layer1`, `layer2`, ...:
/// what is in block b of a stage comes from block `elastic_blocks(...)[b]` of the same stage, all
/// else keeps its name. Parameters, masks and buffers; tensors are shared with `source`, not
/// copied. With equal depths it is `source`. Throws ValueError for a target without stages, other
/// stages in the source, and tensors of the target that have no source; shapes are checked when the
/// dict is loaded.
std::map<std::string, Tensor> elastic_state(const std::map<std::string, Tensor>& source,
                                            nn::Module& target,
                                            BlockOrder order);

}  // namespace espalier::prune
