// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/dataset.h>

#include <filesystem>
#include <string_view>

#include <espalier/core/error.h>
#include <espalier/data/cifar.h>
#include <espalier/data/detail/neighbours.h>
#include <espalier/data/idx.h>
#include <espalier/data/image_folder.h>
#include <espalier/data/resized.h>
#include <espalier/data/svhn.h>
#include <espalier/data/synth.h>
#include <espalier/data/text.h>

namespace espalier::data {
namespace {

namespace fs = std::filesystem;
using Folder = const fs::path&;
using Opened = std::shared_ptr<const Dataset>;

// A name, what it means, and how it is opened. To add a data set, write its reader and add a line.
struct Entry {
  DatasetInfo info;
  DatasetOpener open;
  std::vector<std::string> files = {};  // of which one tells that the data set is there
};

// idx files have several spellings; others just their name.
bool holds_one(const fs::path& folder, const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    for (const std::string& spelling : detail::spellings(file)) {
      std::error_code error;
      if (fs::exists(folder / spelling, error) || error) return true;  // reading tells the error
    }
  }
  return false;
}

std::vector<Entry> built_in() {
  return {
      {{"synth", "SynthDigits, 10 classes, 32x32 colour, drawn by the library", "", {}, ""},
       [](Folder, Split split, uint64_t seed) { return make_synth(split, seed); }},
      {{"cifar10",
        "CIFAR-10, 10 classes, 32x32 colour",
        "cifar10",
        {"cifar10/cifar-10-batches-bin",
         "cifar-10-batches-bin",
         "CIFAR10/cifar-10-batches-bin",
         "cifar10/cifar-10-batches-py",
         "cifar-10-batches-py",
         "CIFAR10/cifar-10-batches-py"},
        "data_batch_1.bin"},
       [](Folder folder, Split split, uint64_t) {
         const bool binary = holds_one(folder, {"data_batch_1.bin", "test_batch.bin"});
         return binary ? open_cifar10(folder, split) : open_cifar10_pickles(folder, split);
       },
       {"data_batch_1.bin", "test_batch.bin", "data_batch_1", "test_batch"}},
      {{"cifar100",
        "CIFAR-100, 100 classes, 32x32 colour",
        "cifar100",
        {"cifar100/cifar-100-binary",
         "cifar-100-binary",
         "CIFAR100/cifar-100-binary",
         "cifar100/cifar-100-python",
         "cifar-100-python",
         "CIFAR100/cifar-100-python"},
        "train.bin"},
       [](Folder folder, Split split, uint64_t) {
         const bool binary = holds_one(folder, {"train.bin", "test.bin"});
         return binary ? open_cifar100(folder, split) : open_cifar100_pickles(folder, split);
       },
       {"train.bin", "test.bin", "meta"}},
      {{"svhn",
        "SVHN, cropped house numbers, 10 classes, 32x32 colour",
        "svhn",
        {"SVHN"},
        "train_32x32.mat"},
       [](Folder folder, Split split, uint64_t) { return open_svhn(folder, split); },
       {"train_32x32.mat", "test_32x32.mat"}},
      {{"svhn+extra",
        "SVHN with its 531,131 extra training images",
        "svhn",
        {"SVHN"},
        "extra_32x32.mat"},
       [](Folder folder, Split split, uint64_t) { return open_svhn(folder, split, true); },
       {"extra_32x32.mat"}},
      {{"mnist",
        "MNIST, handwritten digits, 10 classes, 28x28 grey",
        "mnist",
        {"mnist/raw", "MNIST/raw", "MNIST", "mnist/MNIST/raw"},
        "train-images-idx3-ubyte"},
       [](Folder folder, Split split, uint64_t) { return open_mnist(folder, split); },
       {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte"}},
      {{"fashion",
        "Fashion-MNIST, clothes, 10 classes, 28x28 grey",
        "fashion",
        {"fashion/raw",
         "FashionMNIST/raw",
         "FashionMNIST",
         "fashion/FashionMNIST/raw",
         "fashion-mnist"},
        "train-images-idx3-ubyte"},
       [](Folder folder, Split split, uint64_t) { return open_fashion(folder, split); },
       {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte"}},
  };
}

std::vector<Entry>& entries() {
  static std::vector<Entry> list = built_in();
  return list;
}

std::deque<DatasetInfo>& infos() {
  static std::deque<DatasetInfo> list = [] {
    std::deque<DatasetInfo> out;
    for (const Entry& entry : entries()) out.push_back(entry.info);
    return out;
  }();
  return list;
}

std::optional<fs::path> find(const Entry& entry, const fs::path& root) {
  if (entry.files.empty()) return std::nullopt;
  std::vector<std::string> places = {entry.info.folder};
  places.insert(places.end(), entry.info.other_folders.begin(), entry.info.other_folders.end());
  for (const std::string& place : places) {
    if (holds_one(root / place, entry.files)) return root / place;
  }
  return std::nullopt;
}

// What is wrong when the files of a data set are nowhere.
[[noreturn]] void fail_not_found(const Entry& entry, const fs::path& root) {
  std::string looked = cat("in ", (root / entry.info.folder).string());
  std::string others;
  for (const std::string& place : entry.info.other_folders) {
    others += (others.empty() ? " (nor in " : ", ") + place;
  }
  throw IoError(cat(entry.info.name,
                    ": ",
                    entry.info.first_file,
                    " is not there; looked ",
                    looked,
                    others.empty() ? "" : others + " beside it)",
                    detail::lookalikes(entry.info.name, root, entry.info.folder)));
}

Opened open_named(const std::string& name,
                  Split split,
                  const std::string& root,
                  const OpenOptions& options) {
  constexpr std::string_view kTextPrefix = "text:";
  if (name.starts_with(kTextPrefix)) {
    return open_text(name.substr(kTextPrefix.size()), split, {.context = options.context});
  }
  constexpr std::string_view kFolderPrefix = "folder:";
  if (name.starts_with(kFolderPrefix)) {
    return open_image_folder(
        name.substr(kFolderPrefix.size()),
        split,
        {.allow_empty_classes = options.allow_empty_classes, .image_size = options.image_size});
  }
  std::string names;
  for (const Entry& entry : entries()) {
    if (entry.info.name == name) {
      if (entry.files.empty()) return entry.open({}, split, options.seed);
      const std::optional<fs::path> folder = find(entry, root);
      if (!folder) fail_not_found(entry, root);
      return entry.open(*folder, split, options.seed);
    }
    names += entry.info.name + ", ";
  }
  throw ValueError(cat(
      "open_dataset: unknown data set '", name, "'; known are ", names, "folder:PATH, text:PATH"));
}

}  // namespace

const std::deque<DatasetInfo>& known_datasets() {
  return infos();
}

void register_dataset(DatasetInfo info, DatasetOpener open) {
  ESPALIER_CHECK(!info.name.empty() && info.name.find(':') == std::string::npos && open,
                 ValueError,
                 "register_dataset: expects a name without colon and an opener, got '",
                 info.name,
                 "'");
  for (const Entry& entry : entries()) {
    ESPALIER_CHECK(entry.info.name != info.name,
                   ValueError,
                   "register_dataset: the name ",
                   info.name,
                   " is taken");
  }
  std::vector<std::string> files;
  if (!info.first_file.empty()) files.push_back(info.first_file);
  infos().push_back(info);
  entries().push_back({std::move(info), std::move(open), std::move(files)});
}

std::optional<std::filesystem::path> find_dataset(const DatasetInfo& info,
                                                  const std::filesystem::path& root) {
  for (const Entry& entry : entries()) {
    if (entry.info.name == info.name) return find(entry, root);
  }
  return std::nullopt;
}

std::shared_ptr<const Dataset> open_dataset(const std::string& name,
                                            Split split,
                                            const std::string& root,
                                            const OpenOptions& options) {
  Opened dataset = open_named(name, split, root, options);
  return options.image_size == 0 ? dataset : resized(std::move(dataset), options.image_size);
}

std::shared_ptr<const Dataset> open_dataset(const std::string& name,
                                            Split split,
                                            const std::string& root,
                                            uint64_t seed) {
  return open_dataset(name, split, root, OpenOptions{.seed = seed});
}

}  // namespace espalier::data
