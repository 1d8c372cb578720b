// SPDX-License-Identifier: Apache-2.0
// Data sets are fetched from file:// URLs only: what is there is looked at, what is missing is
// named.
#include <espalier/data/fetch.h>

#include <cstdlib>
#include <set>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/data/dataset.h>

#include "archives.h"
#include "reading.h"

namespace espalier::data::testing {
namespace {

namespace fs = std::filesystem;

TEST(Fetch, DownloadsUnpacksAndOpensADataSet) {
  const TempFolder folder;
  const fs::path source = folder.path() / "source";
  make_cifar(source / "train.bin", {1}, {2, 3});
  make_cifar(source / "test.bin", {1}, {4});
  make_archive(source / "c.tgz",
               {{"cifar/train.bin", load(source / "train.bin")},
                {"cifar/test.bin", load(source / "test.bin")}});
  const RemoteDataset remote{"cifar100",
                             "cifar100",
                             "",
                             {{.url = "file://" + (source / "c.tgz").string(),
                               .file_name = "c.tgz",
                               .checksum = file_checksum(source / "c.tgz", Digest::Md5),
                               .is_archive = true,
                               .unpacked = {{"train.bin"}, {"test.bin"}}}}};
  const fs::path root = folder.path() / "root";
  fetch_dataset(remote, root);
  EXPECT_EQ(
      files_below(root),
      (std::set<std::string>{"cifar100/train.bin", "cifar100/test.bin", "cifar100/SHA256SUMS"}));
  EXPECT_EQ(open_dataset("cifar100", Split::Train, root.string())->label(1), 3);

  fs::remove_all(source);  // what is there is not fetched again
  EXPECT_NO_THROW(fetch_dataset(remote, root));
  fs::remove(root / "cifar100/test.bin");
  EXPECT_THROW(fetch_dataset(remote, root), IoError);
}

TEST(Fetch, MissingFilesOfAnArchiveAreNamed) {
  const TempFolder folder;
  make_archive(folder.path() / "c.tgz", {{"cifar/train.bin", {1}}});
  const RemoteDataset remote{"x",
                             "x",
                             "",
                             {{.url = "file://" + (folder.path() / "c.tgz").string(),
                               .file_name = "c.tgz",
                               .checksum = "",
                               .is_archive = true,
                               .unpacked = {{"train.bin"}, {"test.bin"}}}}};
  expect_io_error([&] { fetch_dataset(remote, folder.path() / "root"); }, "test.bin");
}

// Two files and an archive, published in a folder; what a fetch finds there is right.
class Published : public ::testing::Test {
 protected:
  Published() {
    store(source_ / "a.bin", noise(1000));
    store(source_ / "b.bin", noise(2000));
    make_archive(source_ / "c.tgz", {{"top/c1.bin", noise(3000)}, {"top/c2.bin", {1, 2}}});
    const auto of = [&](const std::string& name) {
      return RemoteFile{.url = "file://" + (source_ / name).string(),
                        .file_name = name,
                        .checksum = file_checksum(source_ / name, Digest::Sha256),
                        .digest = Digest::Sha256};
    };
    remote_ = {"mine", "mine", "", {of("a.bin"), of("b.bin"), of("c.tgz")}};
    remote_.files[2].is_archive = true;
    remote_.files[2].unpacked = {{"c1.bin"}, {"c2.bin", "", 2}};
  }
  std::string states() const {
    std::string out;
    for (const FileCheck& check : verify_dataset(remote_, root_)) {
      out += check.path.filename().string() + " " + std::string(name(check.state)) + ", ";
    }
    return out;
  }

  const TempFolder folder_;
  const fs::path source_ = folder_.path() / "source", root_ = folder_.path() / "root";
  const fs::path mine_ = root_ / "mine";
  RemoteDataset remote_;
};

constexpr const char* kAllRight = "a.bin right, b.bin right, c1.bin right, c2.bin right, ";

TEST_F(Published, WhatIsDamagedIsToldAndFetchedAgain) {
  EXPECT_EQ(states(), "a.bin missing, b.bin missing, c1.bin missing, c2.bin missing, ");
  fetch_dataset(remote_, root_);
  EXPECT_EQ(states(), kAllRight);
  for (const char* name : {"b.bin", "c1.bin", "c2.bin"}) {
    Bytes bytes = load(mine_ / name);
    bytes[1] ^= 4;
    store(mine_ / name, bytes);
    EXPECT_NE(states().find(std::string(name) + " damaged"), std::string::npos) << states();
    std::vector<fs::path> told;
    FetchOptions options;
    options.on_damaged = [&](const fs::path& path) { told.push_back(path); };
    fetch_dataset(remote_, root_, options);
    EXPECT_EQ(told, (std::vector<fs::path>{mine_ / name}));
    EXPECT_EQ(states(), kAllRight);
  }
}

TEST_F(Published, JunkUnderItsNamesIsNotTheDataSet) {
  for (const char* name : {"a.bin", "b.bin", "c1.bin", "c2.bin"}) store(mine_ / name, {'j'});
  EXPECT_EQ(states(), "a.bin damaged, b.bin damaged, c1.bin unknown, c2.bin damaged, ");
  fetch_dataset(remote_, root_);
  EXPECT_EQ(states(), kAllRight);
}

TEST_F(Published, WhatCanNotBeFetchedStaysAsItWas) {
  store(mine_ / "a.bin", {'j'});
  fs::remove_all(source_);
  EXPECT_THROW(fetch_dataset(remote_, root_), IoError);
  EXPECT_EQ(load(mine_ / "a.bin"), (Bytes{'j'}));
}

TEST_F(Published, AnArchiveIsCheckedBeforeItIsUnpacked) {
  // One that unpacks without an error, but to something else.
  make_archive(mine_ / "c.tgz", {{"top/c1.bin", {9}}, {"top/c2.bin", {9, 9}}});
  fetch_dataset(remote_, root_);
  EXPECT_EQ(load(mine_ / "c1.bin"), noise(3000));
  EXPECT_FALSE(fs::exists(mine_ / "c.tgz"));
  EXPECT_EQ(states(), kAllRight);
}

TEST_F(Published, ARightArchiveThatIsThereIsNotFetchedAgain) {
  fs::create_directories(mine_);
  for (const char* name : {"a.bin", "b.bin", "c.tgz"}) fs::copy(source_ / name, mine_ / name);
  fs::remove_all(source_);
  fetch_dataset(remote_, root_);
  EXPECT_EQ(states(), kAllRight);
}

TEST_F(Published, ASetOfSomebodysMakingIsNotReplaced) {
  store(mine_ / "c1.bin", {'m'});
  store(mine_ / "records.txt", {'c'});
  try {
    fetch_dataset(remote_, root_);
    ADD_FAILURE() << "no error";
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("records.txt"), std::string::npos) << error.what();
  }
  EXPECT_EQ(load(mine_ / "c1.bin"), (Bytes{'m'}));
}

TEST_F(Published, HalfReplacedIsRefusedAndFinishedByFetch) {
  fetch_dataset(remote_, root_);
  const std::string journal =
      R"({"from":[".espalier-files.tmp-1-0"],"files":["c2.bin"],"remove":[]})";
  fs::rename(mine_ / "c2.bin", mine_ / ".espalier-files.tmp-1-0");
  store(mine_ / ".espalier-files.json", {journal.begin(), journal.end()});
  store(mine_ / "c2.bin", {7, 7});
  expect_io_error([&] { verify_dataset(remote_, root_); }, "old and new files mixed");
  fs::remove_all(source_);
  fetch_dataset(remote_, root_);
  EXPECT_EQ(states(), kAllRight);
}

TEST(Verify, LooksAtTheFilesThatAreRead) {
  const char* real = std::getenv("ESPALIER_DATA");
  if (real == nullptr) GTEST_SKIP() << "needs MNIST and CIFAR-10 below ESPALIER_DATA";
  for (const char* set : {"mnist", "cifar10"}) {
    const std::vector<FileCheck> checks = verify_dataset(set, real);
    EXPECT_EQ(checks.size(), set == std::string("mnist") ? 4u : 6u);
    for (const FileCheck& check : checks) {
      EXPECT_EQ(name(check.state), "right") << check.path << check.detail;
    }
  }
  // Unpacked and spelt as Kaggle does: the official bytes, then one of them flipped.
  const TempFolder folder;
  const fs::path labels = folder.path() / "mnist/t10k-labels.idx1-ubyte";
  const auto open = open_dataset("mnist", Split::Test, real);
  Bytes numbers;
  for (int64_t i = 0; i < open->size(); ++i)
    numbers.push_back(static_cast<uint8_t>(open->label(i)));
  store(labels, idx_labels(numbers));
  EXPECT_EQ(name(verify_dataset("mnist", folder.path()).back().state), "right");
  numbers[77] ^= 1;
  store(labels, idx_labels(numbers));
  const FileCheck damaged = verify_dataset("mnist", folder.path()).back();
  EXPECT_EQ(name(damaged.state), "damaged");
  EXPECT_EQ(damaged.path, labels);
  // It would be read in the place of what can be fetched.
  expect_io_error(
      [&] {
        fetch_dataset(RemoteDataset{"mnist", "mnist", "", {remote_datasets()[4].files[3]}},
                      folder.path());
      },
      "remove it first");
}

TEST(Fetch, CatalogueIsWellFormed) {
  std::set<std::string> names;
  for (const RemoteDataset& dataset : remote_datasets()) {
    names.insert(dataset.name);
    EXPECT_FALSE(dataset.licence.empty());
    for (const RemoteFile& file : dataset.files) {
      EXPECT_TRUE(file.url.ends_with("/" + file.file_name)) << file.url;
      EXPECT_EQ(file.checksum.size(), file.digest == Digest::Md5 ? 32u : 64u);
      EXPECT_EQ(file.checksum.find_first_not_of("0123456789abcdef"), std::string::npos);
      EXPECT_TRUE(!file.is_archive || !file.unpacked.empty());
      EXPECT_GT(file.bytes, 0);
      for (const UnpackedFile& unpacked : file.unpacked) {
        EXPECT_GT(unpacked.bytes, 0) << unpacked.name;
        EXPECT_TRUE(unpacked.checksum.empty() || unpacked.checksum.size() == 32u);
      }
    }
  }
  for (const DatasetInfo& info : known_datasets()) {
    EXPECT_EQ(names.contains(info.name), info.name != "synth") << info.name;
  }
  EXPECT_THROW(fetch_dataset("synth", "."), ValueError);
}

}  // namespace
}  // namespace espalier::data::testing
