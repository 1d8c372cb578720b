// SPDX-License-Identifier: Apache-2.0
/// Which failures end the command with which exit code: 2 for bad use and bad input files, 1 for
/// what fails while running, 130 for what its user stopped. An `Error` of the library counts as bad
/// use unless it is marked here, or is a WriteError.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include <espalier/core/error.h>

namespace espalier::experiments {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitBadUse = 2;
inline constexpr int kExitInterrupted = 130;  ///< 128 + SIGINT, as shells tell it

/// Something failed although it was asked for correctly: a loss that diverged, a disk that is full.
class RunFailure : public Error {
 public:
  using Error::Error;
};

/// What the standard library says of a file, in our words: what can't be done with which file, and
/// why.
inline std::string file_system_words(const std::filesystem::filesystem_error& error) {
  return cat("can't use ", error.path1().string(), ": ", error.code().message());
}

/// Runs `work`; its errors become RunFailure, except IoError: while a run only reads, a file that
/// turns out bad in the middle is still a bad input.
template <class Work>
decltype(auto) while_running(Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const RunFailure&) {
    throw;
  } catch (const IoError&) {
    throw;
  } catch (const Error& error) {
    throw RunFailure(error.what());
  }
}

/// Runs `work`, which writes; all of its errors become RunFailure.
template <class Work>
decltype(auto) while_writing(Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const Error& error) {
    throw RunFailure(error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    throw RunFailure(file_system_words(error));
  }
}

}  // namespace espalier::experiments
