// SPDX-License-Identifier: Apache-2.0
/// Data sets as other programs leave them: names that are read too, and files that are told for
/// what they are. Not a public interface.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace espalier::data::detail {

/// Under which names below a folder the file with this official name may lie, the likeliest first.
/// For idx files (`train-images-idx3-ubyte`): as it is, `train-images.idx3-ubyte`, and both in a
/// folder of that name, as some archives unpack, and each with `.gz`. For others the name alone.
std::vector<std::string> spellings(const std::string& official_name);

/// For the end of an error about data set `name`, which is not in `root`/`folder`: what lies there
/// in its stead, archives that were not unpacked. Empty when there is nothing of that kind.
std::string lookalikes(const std::string& name,
                       const std::filesystem::path& root,
                       const std::string& folder);

}  // namespace espalier::data::detail
