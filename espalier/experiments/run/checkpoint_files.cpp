// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/checkpoint_files.h>

#include <cstdio>

#include <fcntl.h>
#include <unistd.h>

#include <espalier/core/detail/descriptor.h>
#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/experiments/run/run_files.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

void move(const fs::path& from, const fs::path& to) {
  ESPALIER_CHECK(std::rename(from.c_str(), to.c_str()) == 0,
                 WriteError,
                 "run: can't rename ",
                 from.string(),
                 " to ",
                 to.filename().string(),
                 ": ",
                 espalier::detail::system_reason());
}

void sync_folder(const fs::path& folder) {
  const auto directory = espalier::detail::open_descriptor(folder, O_RDONLY | O_DIRECTORY);
  if (directory.open()) ::fsync(directory.get());  // some file systems can't
}

}  // namespace

void replace_checkpoint(const fs::path& folder, const SafetensorsFile& checkpoint, bool keep) {
  const fs::path state = folder / kStateFile;
  const fs::path previous = folder / kPreviousFile;
  if (!keep || !is_there(state)) {
    save_safetensors(state, checkpoint);
    return;
  }
  save_safetensors(previous, checkpoint);
  if (::renameat2(AT_FDCWD, state.c_str(), AT_FDCWD, previous.c_str(), RENAME_EXCHANGE) != 0) {
    move(state, folder / kSwapFile);
    move(previous, state);
    move(folder / kSwapFile, previous);
  }
  sync_folder(folder);
}

void finish_swap(const fs::path& folder) {
  const fs::path swap = folder / kSwapFile;
  if (!is_there(swap)) return;
  if (!is_there(folder / kStateFile)) {
    move(swap, folder / kStateFile);
  } else if (!is_there(folder / kPreviousFile)) {
    move(swap, folder / kPreviousFile);
  }
  sync_folder(folder);
}

}  // namespace espalier::experiments
