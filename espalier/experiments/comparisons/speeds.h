// SPDX-License-Identifier: Apache-2.0
/// How fast the network that a run made is, beside the dense one of the same architecture: measured
/// once for each run, sides taking turns, and kept in its folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include <espalier/core/tensor.h>

namespace espalier::experiments::comparisons {

/// Images in the batch that is timed, at most.
inline constexpr int64_t kSpeedBatch = 128;

/// Inference of a finished network as compiled plan, and of a dense one beside it.
struct RunSpeed {
  double images_per_second = 0.0;        ///< in batches of `kSpeedBatch`
  double images_per_second_dense = 0.0;  ///< of the dense network, in the same minute
  double one_image_ms = 0.0;             ///< one image at a time
  double one_image_ms_dense = 0.0;       ///< of the dense network
  int64_t macs_executed = 0;             ///< of one image, by the kernels
  int64_t macs_dense = 0;                ///< of one image, of the dense network
  bool shrunk = false;                   ///< channels were cut out, not only masked

  /// Dense time / own time of a batch.
  double speedup() const { return images_per_second / images_per_second_dense; }
};

/// How a network is timed.
struct SpeedJob {
  bool structured = false;     ///< removed channels are cut out first, as for use
  double round_seconds = 0.0;  ///< of each side, about
  /// Makes (kSpeedBatch or fewer,C,H,W) images, of the data that gates are to see.
  std::function<Tensor()> images;
};

/// The figures of the run in `folder`: from `speed.json` when it is there, else measured and
/// written there. Networks that plans cannot run are timed as modules. Throws IoError.
RunSpeed run_speed(const std::filesystem::path& folder, const SpeedJob& job);

}  // namespace espalier::experiments::comparisons
