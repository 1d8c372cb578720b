// SPDX-License-Identifier: Apache-2.0
/// The data set of a name among those with a published source, where its files lie. Not a public
/// interface.
#pragma once

#include <filesystem>
#include <string_view>

#include <espalier/data/fetch.h>

namespace espalier::data::detail {

/// The published data set `name`, whose `folder` is the one below `root` in which open_dataset
/// finds files of it, if any. Throws ValueError naming `what` for an unknown name, listing the
/// known.
RemoteDataset published_dataset(std::string_view what,
                                std::string_view name,
                                const std::filesystem::path& root);

}  // namespace espalier::data::detail
