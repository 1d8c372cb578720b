// SPDX-License-Identifier: Apache-2.0
/// Readers of CIFAR-10 and CIFAR-100 in the official binary and Python layouts, and a writer of the
/// binary CIFAR-10 one. Downloading is in `fetch.h`.
///
/// Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009;
/// the layout is described on the page of the data set.
#pragma once

#include <filesystem>
#include <memory>

#include <espalier/data/dataset.h>

namespace espalier::data {

/// Train: data_batch_1.bin .. data_batch_5.bin, in this order; test: test_batch.bin. A record is a
/// label byte and 3072 pixels (planes R, G, B, rows first). A folder may hold a subset: files of
/// any positive number of records, if none has the published 10,000 or if a file records.txt has a
/// line `FILE RECORDS` for each. Classes are the lines of batches.meta.txt, up to ten, or without
/// that file the official ten. Throws IoError naming the file: missing, unreadable, empty, not a
/// whole number of records, fewer or more records than published or declared, a label without a
/// name, or a folder whose files were being replaced when that was stopped.
std::shared_ptr<const Dataset> open_cifar10(const std::filesystem::path& folder, Split split);

/// train.bin or test.bin. A record is a coarse label byte (0..19), a fine one (0..99) and 3072
/// pixels. The class is the fine label. Throws IoError as `open_cifar10`.
std::shared_ptr<const Dataset> open_cifar100(const std::filesystem::path& folder, Split split);

/// The Python version of CIFAR-10, as torchvision unpacks it (`cifar-10-batches-py`): data_batch_1
/// .. data_batch_5, in this order, or test_batch, and the names of classes of batches.meta. They
/// are pickles, of which nothing is run (detail/pickle.h). Throws IoError naming the file for one
/// that is missing, spoiled, names anything but NumPy's arrays, or has no `data` (N,3072) of uint8
/// or other than N `labels`, each with a name.
std::shared_ptr<const Dataset> open_cifar10_pickles(const std::filesystem::path& folder,
                                                    Split split);

/// The same of CIFAR-100 (`cifar-100-python`): train or test, with `fine_labels`, and the names of
/// meta.
std::shared_ptr<const Dataset> open_cifar100_pickles(const std::filesystem::path& folder,
                                                     Split split);

/// Writes `train` as data_batch_1.bin .. data_batch_5.bin (as equal as possible) and `test` as
/// test_batch.bin, with batches.meta.txt and records.txt, all of them or none (see
/// core/file_set.h): `open_cifar10` reads them back, and never old and new files mixed. Throws
/// ValueError unless images are 3x32x32, classes at most ten, and no file would be empty; IoError
/// when a file can't be written.
void write_cifar10(const std::filesystem::path& folder, const Dataset& train, const Dataset& test);

}  // namespace espalier::data
