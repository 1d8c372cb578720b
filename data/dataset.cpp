// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/dataset.h>

#include <filesystem>
#include <string_view>

#include <espalier/core/error.h>
#include <espalier/data/cifar.h>
#include <espalier/data/idx.h>
#include <espalier/data/image_folder.h>
#include <espalier/data/svhn.h>
#include <espalier/data/synth.h>

namespace espalier::data {
namespace {

using Folder = const std::filesystem::path&;
using Opened = std::shared_ptr<const Dataset>;

// A name, what it means, and how it is opened. To add a data set, write its reader and add a line.
struct Entry {
  DatasetInfo info;
  Opened (*open)(Folder folder, Split split, uint64_t seed);
};

const std::vector<Entry>& entries() {
  static const std::vector<Entry> list = {
      {{"synth", "SynthDigits, 10 classes, 32x32 colour, drawn by the library", "", ""},
       [](Folder, Split split, uint64_t seed) { return make_synth(split, seed); }},
      {{"cifar10", "CIFAR-10, 10 classes, 32x32 colour", "cifar10", "data_batch_1.bin"},
       [](Folder folder, Split split, uint64_t) { return open_cifar10(folder, split); }},
      {{"cifar100", "CIFAR-100, 100 classes, 32x32 colour", "cifar100", "train.bin"},
       [](Folder folder, Split split, uint64_t) { return open_cifar100(folder, split); }},
      {{"svhn", "SVHN, cropped house numbers, 10 classes, 32x32 colour", "svhn", "train_32x32.mat"},
       [](Folder folder, Split split, uint64_t) { return open_svhn(folder, split); }},
      {{"svhn+extra", "SVHN with its 531,131 extra training images", "svhn", "extra_32x32.mat"},
       [](Folder folder, Split split, uint64_t) { return open_svhn(folder, split, true); }},
      {{"mnist",
        "MNIST, handwritten digits, 10 classes, 28x28 grey",
        "mnist",
        "train-images-idx3-ubyte"},
       [](Folder folder, Split split, uint64_t) { return open_mnist(folder, split); }},
      {{"fashion",
        "Fashion-MNIST, clothes, 10 classes, 28x28 grey",
        "fashion",
        "train-images-idx3-ubyte"},
       [](Folder folder, Split split, uint64_t) { return open_fashion(folder, split); }},
  };
  return list;
}

}  // namespace

const std::vector<DatasetInfo>& known_datasets() {
  static const std::vector<DatasetInfo> list = [] {
    std::vector<DatasetInfo> out;
    for (const Entry& entry : entries()) out.push_back(entry.info);
    return out;
  }();
  return list;
}

std::shared_ptr<const Dataset> open_dataset(const std::string& name,
                                            Split split,
                                            const std::string& root,
                                            uint64_t seed) {
  constexpr std::string_view kFolderPrefix = "folder:";
  if (name.starts_with(kFolderPrefix)) {
    return open_image_folder(name.substr(kFolderPrefix.size()), split);
  }
  std::string names;
  for (const Entry& entry : entries()) {
    if (entry.info.name == name) {
      return entry.open(std::filesystem::path(root) / entry.info.folder, split, seed);
    }
    names += entry.info.name + ", ";
  }
  throw ValueError(
      cat("open_dataset: unknown data set '", name, "'; known are ", names, "folder:PATH"));
}

}  // namespace espalier::data
