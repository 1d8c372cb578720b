// SPDX-License-Identifier: Apache-2.0
// Every reader x every way to spoil a file: a named IoError with the path, never anything else.
#include <filesystem>
#include <new>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/core/random.h>

#include "fixtures.h"

namespace espalier::data::testing {
namespace {

namespace fs = std::filesystem;

class BadFiles : public ::testing::TestWithParam<Fixture> {
 protected:
  // Makes the data set afresh for each of its files and spoils that one.
  void expect_error(const std::function<void(const fs::path&)>& spoil, bool as_nobody = false) {
    for (const std::string& file : GetParam().files) {
      const TempFolder folder;
      GetParam().make(folder.path());
      spoil(folder.path() / file);
      try {
        std::unique_ptr<AsNobody> nobody = as_nobody ? std::make_unique<AsNobody>() : nullptr;
        GetParam().open(folder.path());
        ADD_FAILURE() << file << ": no error";
      } catch (const IoError& error) {
        EXPECT_NE(std::string(error.what()).find(folder.path().string()), std::string::npos)
            << error.what();
        EXPECT_NE(std::string(error.what()).find(fs::path(file).filename().string()),
                  std::string::npos)
            << error.what();
      }
    }
  }
};

TEST_P(BadFiles, TheFixtureItselfIsFine) {
  const TempFolder folder;
  GetParam().make(folder.path());
  EXPECT_NO_THROW(GetParam().open(folder.path()));
}

TEST_P(BadFiles, TruncatedAnywhere) {
  for (const double part : {0.0001, 0.3, 0.9, 0.9999}) {
    expect_error([&](const fs::path& file) {
      Bytes bytes = load(file);
      const auto size = static_cast<double>(bytes.size());
      bytes.resize(std::min(bytes.size() - 1, static_cast<size_t>(part * size) + 1));
      store(file, bytes);
    });
  }
}

TEST_P(BadFiles, TruncatedByOneByteToAHundred) {
  for (const size_t less : {1, 2, 3, 4, 7, 8, 9, 16, 33, 100}) {
    expect_error([&](const fs::path& file) {
      Bytes bytes = load(file);
      bytes.resize(bytes.size() - std::min(bytes.size(), less));
      store(file, bytes);
    });
  }
}

TEST_P(BadFiles, Empty) {
  expect_error([](const fs::path& file) { store(file, {}); });
}

TEST_P(BadFiles, AnotherFormat) {
  expect_error([](const fs::path& file) { store(file, Bytes(1000, 0xAB)); });
  expect_error([](const fs::path& file) { store(file, Bytes(128, 0)); });
  const std::string html = "<html><body>404 Not Found</body></html>\n";
  expect_error([&](const fs::path& file) { store(file, Bytes(html.begin(), html.end())); });
}

TEST_P(BadFiles, ADirectory) {
  if (GetParam().name == "folder") GTEST_SKIP() << "folders are what this reader expects";
  expect_error([](const fs::path& file) {
    fs::remove(file);
    fs::create_directory(file);
  });
}

TEST_P(BadFiles, Missing) {
  if (GetParam().name == "folder") GTEST_SKIP() << "see ImageFolder.NamesWhatIsMissing";
  expect_error([](const fs::path& file) { fs::remove(file); });
}

TEST_P(BadFiles, NoPermission) {
  expect_error([](const fs::path& file) { fs::permissions(file, fs::perms::none); }, true);
}

TEST_P(BadFiles, FlippedBytesNeverCrash) {
  const TempFolder folder;
  GetParam().make(folder.path());
  for (const std::string& name : GetParam().files) {
    const fs::path file = folder.path() / name;
    const Bytes original = load(file);
    Rng rng(7, name);
    const int rounds = 240 / static_cast<int>(GetParam().files.size());
    for (int round = 0; round < rounds; ++round) {
      Bytes bytes = original;
      // The first bytes hold what is dangerous: sizes and types.
      const size_t range = round % 2 == 0 ? std::min<size_t>(bytes.size(), 256) : bytes.size();
      for (int flips = 0; flips <= round % 4; ++flips) {
        bytes[rng.below(range)] = static_cast<uint8_t>(rng.next_u32());
      }
      store(file, bytes);
      try {
        GetParam().open(folder.path());
      } catch (const IoError&) {
      }
    }
    store(file, original);
  }
  EXPECT_NO_THROW(GetParam().open(folder.path()));
}

INSTANTIATE_TEST_SUITE_P(AllReaders,
                         BadFiles,
                         ::testing::ValuesIn(all_fixtures()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace espalier::data::testing
