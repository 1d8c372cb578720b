// SPDX-License-Identifier: Apache-2.0
/// Reader of the MNIST family: idx files, plain or gzip.
///
/// Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits"; Xiao, Rasul, Vollgraf
/// 2017, arXiv:1708.07747 (Fashion-MNIST).
#pragma once

#include <filesystem>
#include <memory>

#include <espalier/data/dataset.h>

namespace espalier::data {

/// Reads {train,t10k}-images-idx3-ubyte and -labels-idx1-ubyte, each as it is or, when that is
/// absent, with `.gz`; also spelt `-images.idx3-ubyte`, and in a folder of the file's name. Grey
/// images, one channel, at most 1024x1024. Throws IoError naming the file: missing, unreadable,
/// empty, truncated, too long, a wrong magic number, sizes that the file can't hold, a label above
/// 9, or labels and images of different number.
std::shared_ptr<const Dataset> open_mnist(const std::filesystem::path& folder, Split split);

/// The same files with the classes of Fashion-MNIST.
std::shared_ptr<const Dataset> open_fashion(const std::filesystem::path& folder, Split split);

}  // namespace espalier::data
