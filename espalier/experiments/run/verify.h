// SPDX-License-Identifier: Apache-2.0
/// Whether files and run folders are whole: what `espalier verify` does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace espalier::experiments {

/// What was found out about one file, or about one run folder as a whole.
struct Verified {
  enum class State : uint8_t {
    Good,       ///< read whole, and its checksum is right
    Unchecked,  ///< read whole, but nothing in it or beside it could tell a changed byte
    Damaged,    ///< missing, cut, changed, not finite, or in contradiction with its run
  };
  std::filesystem::path path;  ///< of the file or the folder
  std::string kind;            ///< "network", "plan", "checkpoint", "run" ..; empty if unknown
  State state = State::Good;   ///< see there
  std::string text;            ///< what it is, or what is wrong
};

/// `good`, `unchecked` or `damaged`.
std::string name(Verified::State state);

/// Reads a file as its users would: any safetensors (networks, checkpoints, plans, tensors), .edc,
/// .npz, .npy, .csv and JSON. A run folder gives its files and, as the last, itself: whether they
/// belong together and to what run.json tells. Other folders give all run folders and files of
/// these kinds below them. Never throws for what is in a file.
std::vector<Verified> verify(const std::filesystem::path& path);

}  // namespace espalier::experiments
