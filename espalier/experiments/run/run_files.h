// SPDX-License-Identifier: Apache-2.0
/// The names of the files in a run's folder, and of those of a comparison.
#pragma once

#include <array>

namespace espalier::experiments {

inline constexpr const char* kRunFile = "run.json";             ///< settings, state and results
inline constexpr const char* kModelFile = "model.safetensors";  ///< the trained network
inline constexpr const char* kStateFile = "state.safetensors";  ///< the newest checkpoint
/// The checkpoint before it, used where the newest is damaged.
inline constexpr const char* kPreviousFile = "state.previous.safetensors";
/// One of the two while they change names, on file systems where that is no single step.
inline constexpr const char* kSwapFile = "state.swap.safetensors";
inline constexpr const char* kMetricsFile = "metrics.jsonl";  ///< a line an epoch, as written
inline constexpr const char* kMetricsTable = "metrics.csv";   ///< the same as a table, at the end
/// Measured times of a target of latency.
inline constexpr const char* kLatenciesFile = "latencies.json";
/// What a search of a pruning method has tried.
inline constexpr const char* kSearchFile = "search.safetensors";
inline constexpr const char* kRunsTable = "runs.csv";      ///< of a comparison: a row a run
inline constexpr const char* kLayersTable = "layers.csv";  ///< of a comparison: a row a layer

/// What run.json of a finished run tells size and checksum of.
inline constexpr std::array<const char*, 5> kRecordedFiles = {
    kModelFile, kStateFile, kPreviousFile, kMetricsFile, kMetricsTable};
/// What pruning may measure and try before a run begins.
inline constexpr std::array<const char*, 2> kBeforehandFiles = {kLatenciesFile, kSearchFile};
/// What `train` writes besides run.json.
inline constexpr std::array<const char*, 8> kTrainedFiles = {kModelFile,
                                                             kStateFile,
                                                             kPreviousFile,
                                                             kSwapFile,
                                                             kMetricsFile,
                                                             kMetricsTable,
                                                             kLatenciesFile,
                                                             kSearchFile};

}  // namespace espalier::experiments
