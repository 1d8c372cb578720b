// SPDX-License-Identifier: Apache-2.0
/// The two checkpoints of a run's folder, and how the older one gives way to a new one.
#pragma once

#include <filesystem>

#include <espalier/core/safetensors.h>

namespace espalier::experiments {

/// Writes a new newest checkpoint to `folder`. With `keep`, where kStateFile is whole, that becomes
/// kPreviousFile, and from the second checkpoint on two different whole files are there at every
/// instant: the new one first replaces the older of the two, then both change names. That is one
/// step (RENAME_EXCHANGE) where the file system can, else three by way of kSwapFile, which
/// `finish_swap` completes. Killed before, kStateFile is the one that was the newest, and
/// kPreviousFile the new one. Throws WriteError.
void replace_checkpoint(const std::filesystem::path& folder,
                        const SafetensorsFile& checkpoint,
                        bool keep);

/// Gives both checkpoints their names again where a process was killed while they changed them;
/// nothing where there is no kSwapFile. Throws WriteError.
void finish_swap(const std::filesystem::path& folder);

}  // namespace espalier::experiments
