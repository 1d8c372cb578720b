// SPDX-License-Identifier: Apache-2.0
/// The three axes of the survey's taxonomy of pruning.
///
/// Source: Cheng, Zhang, Shi, "A survey on deep neural network pruning", arXiv 2308.06767,
/// Figure 2.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace espalier::prune {

/// What kind of speed-up the masks give.
enum class Speedup : uint8_t { Unstructured, SemiStructured, Structured };
/// When weights are chosen, relative to the training of the network.
enum class When : uint8_t { Before, During, After, Runtime };
/// How they are chosen.
enum class How : uint8_t { Criterion, Learning, Fusion };
/// All moments, in the order of the survey's figure.
inline constexpr std::array kMoments = {When::Before, When::During, When::After, When::Runtime};
/// `Before training`, .., `At run time`: a heading.
std::string title(When when);
/// `unstructured`, `semi-structured`, `structured`.
std::string name(Speedup speedup);
/// `before`, `during`, `after`, `runtime`.
std::string name(When when);
/// `criterion`, `learning`, `fusion`.
std::string name(How how);

}  // namespace espalier::prune
