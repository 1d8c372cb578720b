// SPDX-License-Identifier: Apache-2.0
/// A text as a data set: windows of characters, each of which is to be foretold from those before.
#pragma once

#include <filesystem>
#include <memory>

#include <espalier/data/dataset.h>

namespace espalier::data {

/// How a text is read.
struct TextOptions {
  int64_t context = 128;       ///< characters of a window, at least 1
  double test_fraction = 0.1;  ///< the last part of the text, in (0, 1)
};

/// Opens a file as a sequence of bytes, of which those that occur anywhere in it, in their order,
/// are the vocabulary (`class_names`; unprintable ones as `\x0a`). By position: the test split is
/// the end of the text. A sample is `context` tokens and as many targets, each the token that
/// follows; samples lie side by side, so that every character but the first is foretold once.
/// Cites no source: it is what character-level language models are trained on (Karpathy's
/// tinyshakespeare among them).
///
/// Throws IoError naming the path for a file that can't be read or has fewer than one window in
/// either split, ValueError for options that make no sense.
std::shared_ptr<const Dataset> open_text(const std::filesystem::path& path,
                                         Split split,
                                         const TextOptions& options = {});

}  // namespace espalier::data
