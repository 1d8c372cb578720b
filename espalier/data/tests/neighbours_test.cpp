// SPDX-License-Identifier: Apache-2.0
// Data sets where and as other programs leave them.
#include <espalier/data/dataset.h>

#include <fstream>

#include <espalier/data/cifar.h>
#include <espalier/data/fetch.h>

#include "reading.h"

namespace espalier::data::testing {
namespace {

namespace fs = std::filesystem;

void make_cifar10(const fs::path& folder) {
  for (int b = 1; b <= 5; ++b) {
    make_cifar(folder / ("data_batch_" + std::to_string(b) + ".bin"), {}, {0, 9});
  }
  make_cifar(folder / "test_batch.bin", {}, {3});
}

TEST(Neighbours, FoldersOfArchivesAreRead) {
  for (const char* place : {"cifar10", "cifar10/cifar-10-batches-bin", "cifar-10-batches-bin"}) {
    const TempFolder root;
    make_cifar10(root.path() / place);
    EXPECT_EQ(open_dataset("cifar10", Split::Train, root.path().string())->size(), 10) << place;
    EXPECT_EQ(open_dataset("cifar10", Split::Test, root.path().string())->label(0), 3) << place;
    EXPECT_EQ(find_dataset(known_datasets()[1], root.path()), root.path() / place);
  }
  for (const char* place : {"cifar100/cifar-100-binary", "cifar-100-binary"}) {
    const TempFolder root;
    make_cifar(root.path() / place / "test.bin", {1}, {7});
    EXPECT_EQ(open_dataset("cifar100", Split::Test, root.path().string())->label(0), 7) << place;
  }
}

TEST(Neighbours, ItsOwnFolderComesFirst) {
  const TempFolder root;
  make_cifar10(root.path() / "cifar-10-batches-bin");
  make_cifar10(root.path() / "cifar10");
  EXPECT_EQ(find_dataset(known_datasets()[1], root.path()), root.path() / "cifar10");
}

TEST(Neighbours, TorchvisionsMnistIsRead) {
  for (const char* place : {"mnist", "mnist/raw", "MNIST/raw", "mnist/MNIST/raw"}) {
    for (const bool packed : {false, true}) {
      const TempFolder root;
      make_idx(root.path() / place, "train", 28, 28, {3, 1, 4}, packed);
      EXPECT_EQ(open_dataset("mnist", Split::Train, root.path().string())->label(2), 4) << place;
    }
  }
  const TempFolder root;
  make_idx(root.path() / "FashionMNIST/raw", "t10k", 28, 28, {3, 1}, true);
  EXPECT_EQ(open_dataset("fashion", Split::Test, root.path().string())->size(), 2);
  EXPECT_THROW(open_dataset("mnist", Split::Test, root.path().string()), IoError);
}

TEST(Neighbours, OtherSpellingsOfIdxFilesAreRead) {
  const auto images = idx_images(2, 28, 28);
  const auto labels = idx_labels({5, 6});
  for (const bool packed : {false, true}) {
    const TempFolder root;
    const std::string end = packed ? ".gz" : "";
    store(root.path() / ("mnist/train-images.idx3-ubyte" + end), packed ? gzip(images) : images);
    store(root.path() / ("mnist/train-labels.idx1-ubyte" + end), packed ? gzip(labels) : labels);
    EXPECT_EQ(open_dataset("mnist", Split::Train, root.path().string())->label(1), 6);
  }
  const TempFolder root;  // each unpacked to a folder of its name
  store(root.path() / "mnist/train-images-idx3-ubyte/train-images-idx3-ubyte", images);
  store(root.path() / "mnist/train-labels-idx1-ubyte/train-labels.idx1-ubyte", labels);
  EXPECT_EQ(open_dataset("mnist", Split::Train, root.path().string())->label(1), 6);
}

TEST(Neighbours, ArchivesThatWereNotUnpackedAreTold) {
  const TempFolder root;
  store(root.path() / "cifar10/cifar-10-binary.tar.gz", {0x1F, 0x8B});
  expect_io_error([&] { open_dataset("cifar10", Split::Train, root.path().string()); },
                  "not unpacked");
  fs::rename(root.path() / "cifar10/cifar-10-binary.tar.gz",
             root.path() / "cifar10/cifar-10-python.tar.gz");
  expect_io_error([&] { open_dataset("cifar10", Split::Train, root.path().string()); },
                  "cifar-10-python.tar.gz is there, but not unpacked");
}

TEST(Neighbours, WhatLiesUnderANameIsTold) {
  const TempFolder root;
  const std::string page = "<html>404</html>";
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n";
  make_cifar10(root.path() / "cifar10");
  store(root.path() / "cifar10/data_batch_3.bin", {page.begin(), page.end()});
  expect_io_error([&] { open_dataset("cifar10", Split::Train, root.path().string()); },
                  "It is a web page");
  make_idx(root.path() / "mnist", "train", 28, 28, {3, 1, 4}, false);
  store(root.path() / "mnist/train-images-idx3-ubyte", {pointer.begin(), pointer.end()});
  expect_io_error([&] { open_dataset("mnist", Split::Train, root.path().string()); },
                  "git lfs pull");
  store(root.path() / "svhn/train_32x32.mat", Bytes(200, '<'));
  store(root.path() / "svhn/train_32x32.mat", [&] {
    Bytes bytes(page.begin(), page.end());
    bytes.resize(300, ' ');
    return bytes;
  }());
  expect_io_error([&] { open_dataset("svhn", Split::Train, root.path().string()); },
                  "It is a web page");
}

TEST(Neighbours, ClassesOfCifar10AreThoseOfItsFileOfNames) {
  const TempFolder folder;
  make_cifar10(folder.path());
  EXPECT_EQ(open_cifar10(folder.path(), Split::Train)->class_names()[9], "truck");
  const std::string names = "0\r\n1\n2\n3\n4\n5\n6\n7\n8\nnine\n\n";
  store(folder.path() / "batches.meta.txt", {names.begin(), names.end()});
  EXPECT_EQ(open_cifar10(folder.path(), Split::Train)->class_names()[0], "0");
  EXPECT_EQ(open_cifar10(folder.path(), Split::Train)->class_names()[9], "nine");
  const std::string few = "a\nb\n";
  store(folder.path() / "batches.meta.txt", {few.begin(), few.end()});
  expect_io_error([&] { open_cifar10(folder.path(), Split::Train); }, "label 9 in record 1");
  store(folder.path() / "batches.meta.txt", Bytes(40, '\n'));
  expect_io_error([&] { open_cifar10(folder.path(), Split::Train); }, "0 names of classes");
}

TEST(Registry, TakesADataSetOfAProgramsOwn) {
  const auto open = [](const fs::path& folder, Split split, uint64_t seed) {
    EXPECT_EQ(folder.filename(), "test-rings");
    return subset(open_dataset("synth", split, "", seed), 20, seed);
  };
  register_dataset(
      {.name = "test-rings", .title = "rings", .folder = "test-rings", .first_file = "rings.bin"},
      open);
  EXPECT_EQ(known_datasets().back().name, "test-rings");
  const TempFolder root;
  expect_io_error([&] { open_dataset("test-rings", Split::Train, root.path().string()); },
                  "rings.bin");
  fs::create_directories(root.path() / "test-rings");
  std::ofstream(root.path() / "test-rings/rings.bin") << "rings";
  EXPECT_EQ(open_dataset("test-rings", Split::Train, root.path().string())->size(), 20);
  EXPECT_THROW(register_dataset({.name = "cifar10"}, open), ValueError);
  EXPECT_THROW(register_dataset({.name = "folder:x"}, open), ValueError);
  EXPECT_THROW(register_dataset({.name = ""}, open), ValueError);
}

}  // namespace
}  // namespace espalier::data::testing
