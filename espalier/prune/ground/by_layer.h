// SPDX-License-Identifier: Apache-2.0
/// Names of layers: settings by layer as one text, `NAME=VALUE,NAME=VALUE,..`, and blocks.
#pragma once

#include <string>
#include <vector>

namespace espalier::prune {

/// One of them.
struct LayerSetting {
  std::string layer;  ///< name of a weight, or a prefix of it up to a dot
  std::string value;  ///< as typed
};

/// Reads a list of them. Throws ValueError beginning with `what` for an entry without name or
/// value.
std::vector<LayerSetting> parse_layer_settings(const std::string& text, const std::string& what);

/// Whether `name` is that of the weight, or a prefix of it up to a dot.
bool names_layer(const std::string& name, const std::string& weight);

/// The last setting that names the weight, which is the one that holds; null: none does.
const LayerSetting* setting_of(const std::vector<LayerSetting>& settings,
                               const std::string& weight);

/// Throws ValueError beginning with `what` for a setting that names none of the weights.
void check_layer_names(const std::vector<LayerSetting>& settings,
                       const std::vector<std::string>& weights,
                       const std::string& what);

/// The block of a weight's layer: its name up to the last number, `blocks.3` of
/// `blocks.3.attn.q.weight`; the layer's own name when no number names a block.
std::string block_of_layer(const std::string& weight);

}  // namespace espalier::prune
