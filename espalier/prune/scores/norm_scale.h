// SPDX-License-Identifier: Apache-2.0
/// Scales of batch norms as scores of the channels that they scale.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <espalier/prune/scores/score.h>

namespace espalier::prune {

/// The scales (`weight` of rank 1) of all layers that scale their channels one by one.
std::vector<nn::NamedParameter> norm_scales(nn::Module& model);

/// Whether one of the scales belongs to the site.
bool has_norm_scale(const Site& site, std::span<const nn::NamedParameter> scales);

/// Why an update can't rank a site's channels by their scales (`SiteRules::refusal`); empty if it
/// can.
std::string without_norm_scale(nn::Module& model, const Site& site);

/// Which of several norms says how large a channel is.
enum class OfNorms : uint8_t {
  Smallest,  ///< one zero is enough to silence the channel
  Largest    ///< of channels of a residual sum, which are silent when all are
};

/// |gamma| of every channel. Of channel sites only. Throws ValueError for a site without a norm.
/// (norm_scale.cpp)
std::unique_ptr<Score> norm_scale_score(OfNorms of_norms = OfNorms::Smallest);

}  // namespace espalier::prune
