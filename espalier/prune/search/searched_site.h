// SPDX-License-Identifier: Apache-2.0
/// SearchedSite: a site as a search sees it, with what is known of the layer that makes its units.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <espalier/prune/sites/site.h>

namespace espalier::prune {

/// A site and its layer.
struct SearchedSite {
  std::string name;          ///< of the site
  int64_t units = 0;         ///< that compete there
  bool convolution = false;  ///< else a linear layer
  int64_t in = 0;            ///< input channels of the weight
  int64_t out = 0;           ///< output channels of the weight
  int64_t stride = 0;        ///< of a convolution; else 0
  int64_t kernel = 1;        ///< height of a convolution's kernel; else 1
  int64_t weights = 0;       ///< of the layer
  int64_t macs = 0;          ///< of one sample, dense
};

/// The places of sites of `model`, in order, by one run on a sample of shape `sample` (C,H,W).
std::vector<SearchedSite> searched_sites(nn::Module& model,
                                         std::span<const Site> sites,
                                         const Shape& sample);

/// What AMC's agent is told of each place beforehand: its number, its kind (1: linear), in, out,
/// stride, kernel, weights; each of them stretched over the places to 0 .. 1, and as it is where
/// all places are equal. Source: He, Lin et al., arXiv 1802.03494, section 3.1, and the authors'
/// code.
std::vector<std::vector<double>> layer_features(std::span<const SearchedSite> places);

}  // namespace espalier::prune
