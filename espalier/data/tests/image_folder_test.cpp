// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/image_folder.h>

#include <algorithm>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/data/detail/image_file.h>

#include "reading.h"

namespace espalier::data::testing {
namespace {

namespace fs = std::filesystem;

TEST(ImageFolder, ReadsPngPixelsExactly) {
  const TempFolder folder;
  make_png(folder.path() / "train/cat/a.png", 3, 5, 4);
  const auto train = open_image_folder(folder.path(), Split::Train);
  ASSERT_EQ(train->size(), 1);
  EXPECT_EQ(train->image_shape(), (ImageShape{3, 5, 4}));
  Bytes pixels(60);
  train->read(0, pixels);
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t p = 0; p < 20; ++p) {
      EXPECT_EQ(pixels[static_cast<size_t>(c * 20 + p)], pixel(3, p * 3 + c));
    }
  }
}

TEST(ImageFolder, ReadsJpegUpToItsLoss) {
  const TempFolder folder;
  make_jpeg(folder.path() / "train/cat/a.JPG", 16, 24, {200, 100, 50});
  const auto train = open_image_folder(folder.path(), Split::Train);
  EXPECT_EQ(train->image_shape(), (ImageShape{3, 16, 24}));
  Bytes pixels(3 * 16 * 24);
  train->read(0, pixels);
  constexpr int kJpegTol = 3;  // quality 95, one colour
  for (size_t p = 0; p < 384; ++p) {
    EXPECT_NEAR(pixels[p], 200, kJpegTol);
    EXPECT_NEAR(pixels[384 + p], 100, kJpegTol);
    EXPECT_NEAR(pixels[768 + p], 50, kJpegTol);
  }
}

TEST(ImageFolder, ClassesAreTheSortedFoldersOfTraining) {
  const TempFolder folder;
  for (const char* name : {"train/dog/1.png",
                           "train/cat/1.png",
                           "train/.hidden/1.png",
                           "test/dog/1.png",
                           "train/dog/notes.png.txt"}) {
    make_png(folder.path() / name, 0, 4, 4);
  }
  const auto train = open_image_folder(folder.path(), Split::Train);
  EXPECT_EQ(train->class_names(), (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(train->size(), 2);
  const auto test = open_image_folder(folder.path(), Split::Test);
  ASSERT_EQ(test->size(), 1);
  EXPECT_EQ(test->label(0), 1);
  EXPECT_EQ(test->class_names(), train->class_names());
}

TEST(ImageFolder, WhatIsLeftOutIsCountedByEndingAndSaid) {
  const TempFolder folder;
  const fs::path& path = folder.path();
  for (const char* name :
       {"train/cat/1.png", "train/cat/2.PNG", "train/dog/1.png", "test/cat/1.png"}) {
    make_png(path / name, 0, 4, 4);
  }
  for (const char* name : {"train/cat/a.tiff",
                           "train/dog/b.TIFF",
                           "train/dog/c.gif",
                           "train/dog/d",
                           "train/dog/.hidden.png",
                           "train/readme.txt",
                           "test/cat/Thumbs.db"}) {
    store(path / name, {'x'});
  }
  fs::create_directory_symlink(path / "train/dog", path / "train/cat/link");
  const auto train = open_image_folder(path, Split::Train);
  EXPECT_EQ(train->size(), 3);
  const std::string in = path.string() + "/train/";
  EXPECT_EQ(
      train->notes(),
      (std::vector<std::string>{
          "left out: 1 file beside the folders of classes, " + in + "readme.txt",
          "left out: 1 file ending in .gif, " + in + "dog/c.gif",
          "left out: 2 files ending in .tiff, for example " + in + "cat/a.tiff",
          "left out: 1 file in the place of pictures that are links to folders, " + in + "cat/link",
          "left out: 1 file whose names begin with a dot, " + in + "dog/.hidden.png",
          "left out: 1 file without an ending, " + in + "dog/d"}));
  EXPECT_EQ(open_image_folder(path, Split::Test)->notes(),
            (std::vector<std::string>{"left out: 1 file ending in .db, " + path.string() +
                                      "/test/cat/Thumbs.db"}));
  EXPECT_EQ(subset(train, 2, 0)->notes(), train->notes());
}

TEST(ImageFolder, PicturesInFoldersBelowAClassBelongToIt) {
  const TempFolder folder;
  make_png(folder.path() / "train/cat/b.png", 1, 1, 1);
  make_png(folder.path() / "train/cat/sub/a.png", 2, 1, 1);
  make_png(folder.path() / "train/cat/sub/deeper/c.png", 3, 1, 1);
  const auto train = open_image_folder(folder.path(), Split::Train);
  ASSERT_EQ(train->size(), 3);
  for (int64_t i = 0; i < 3; ++i) EXPECT_EQ(image(*train, i)[0], pixel(i + 1, 0));
  EXPECT_TRUE(train->notes().empty());
}

TEST(ImageFolder, FoldersWithoutAPictureOfTheirOwnAreNoClasses) {
  const TempFolder folder;
  make_png(folder.path() / "pets/cat/1.png", 0, 2, 2);
  make_png(folder.path() / "pets/dog/1.png", 0, 2, 2);
  expect_io_error([&] { open_image_folder(folder.path(), Split::Train); },
                  "Are the classes one level further down? Then give that folder, for example " +
                      (folder.path() / "pets").string());
}

TEST(ImageFolder, AClassWithoutPicturesIsAnErrorUnlessAllowed) {
  const TempFolder folder;
  make_png(folder.path() / "train/blue/1.png", 0, 2, 2);
  make_png(folder.path() / "train/red/1.png", 1, 2, 2);
  make_png(folder.path() / "test/red/1.png", 2, 2, 2);
  fs::create_directory(folder.path() / "train/green");
  store(folder.path() / "train/green/1.tiff", {'x'});
  for (const Split split : {Split::Train, Split::Test}) {
    expect_io_error([&] { open_image_folder(folder.path(), split); },
                    "train/green has no pictures");
    expect_io_error([&] { open_image_folder(folder.path(), split); }, "1 file ending in .tiff");
    const auto open = open_image_folder(folder.path(), split, {.allow_empty_classes = true});
    EXPECT_EQ(open->class_names(), (std::vector<std::string>{"blue", "green", "red"}));
    EXPECT_EQ(open->label(open->size() - 1), 2);
  }
  const std::string name = "folder:" + folder.path().string();
  EXPECT_THROW(open_dataset(name, Split::Train, ""), IoError);
  EXPECT_EQ(open_dataset(name, Split::Train, "", OpenOptions{.allow_empty_classes = true})->size(),
            2);
}

TEST(ImageFolder, TestPicturesMayLieInTestValValidOrValidation) {
  const TempFolder folder;
  make_png(folder.path() / "train/a/1.png", 0, 1, 1);
  int64_t i = 10;
  for (const char* name : {"validation", "valid", "val", "test"}) {  // the last one counts
    make_png(folder.path() / name / "a/1.png", ++i, 1, 1);
    EXPECT_EQ(image(*open_image_folder(folder.path(), Split::Test), 0)[0], pixel(i, 0)) << name;
  }
  const std::vector<std::string> notes = open_image_folder(folder.path(), Split::Train)->notes();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("those of train and test; not read beside them: 3 folders, for example"),
            std::string::npos)
      << notes[0];
}

TEST(ImageFolder, AClassMayBeCalledTrainOrTest) {
  const TempFolder folder;
  for (const char* name : {"boat", "train", "test"}) {
    for (int i = 0; i < 5; ++i) {
      make_png(folder.path() / name / (std::to_string(i) + ".png"), i, 2, 2);
    }
  }
  const auto train = open_image_folder(folder.path(), Split::Train);
  EXPECT_EQ(train->class_names(), (std::vector<std::string>{"boat", "test", "train"}));
  EXPECT_EQ(train->size(), 12);
  EXPECT_EQ(open_image_folder(folder.path(), Split::Test)->size(), 3);
}

TEST(ImageFolder, SplitsWithoutTrainAreNoClasses) {
  const TempFolder folder;
  for (const char* name : {"training/cat/1.png", "Validation/cat/1.png", "training/1.png"}) {
    make_png(folder.path() / name, 0, 2, 2);
  }
  expect_io_error([&] { open_image_folder(folder.path(), Split::Train); },
                  "as a split has, but none called train");
}

TEST(ImageFolder, ALinkToAFolderAboveIsNoClass) {
  const TempFolder folder;
  make_png(folder.path() / "train/cat/1.png", 0, 2, 2);
  fs::create_directory_symlink("..", folder.path() / "train/self");
  expect_io_error([&] { open_image_folder(folder.path(), Split::Train); },
                  "self is a link to a folder that holds it");
}

TEST(ImageFolder, LinksToSplitsAndClassesAreFollowed) {
  const TempFolder folder;
  make_png(folder.path() / "far/cat/1.png", 5, 1, 1);
  fs::create_directories(folder.path() / "set/train");
  fs::create_directory_symlink(folder.path() / "far", folder.path() / "set/test");
  fs::create_directory_symlink(folder.path() / "far/cat", folder.path() / "set/train/cat");
  for (const Split split : {Split::Train, Split::Test}) {
    EXPECT_EQ(image(*open_image_folder(folder.path() / "set", split), 0)[0], pixel(5, 0));
  }
}

TEST(ImageFolder, OneTreeGivesEachFifthPictureToTheTest) {
  const TempFolder folder;
  for (int i = 0; i < 10; ++i) {
    make_png(folder.path() / "a" / ("p" + std::to_string(i) + ".png"), i, 1, 1);
    if (i < 6) make_png(folder.path() / "b" / ("p" + std::to_string(i) + ".png"), 100 + i, 1, 1);
  }
  const auto train = open_image_folder(folder.path(), Split::Train);
  const auto test = open_image_folder(folder.path(), Split::Test);
  EXPECT_EQ(train->size(), 13);
  ASSERT_EQ(test->size(), 3);
  const std::pair<int64_t, int64_t> expected[] = {{4, 0}, {9, 0}, {104, 1}};  // picture and class
  for (int64_t i = 0; i < 3; ++i) {
    Bytes pixels(3);
    test->read(i, pixels);
    EXPECT_EQ(pixels[0], pixel(expected[i].first, 0));
    EXPECT_EQ(test->label(i), expected[i].second);
  }
}

TEST(ImageFolder, OtherSizesAreFittedToTheFirstOfTraining) {
  const TempFolder folder;
  make_png(folder.path() / "train/a/1.png", 0, 4, 6);
  make_jpeg(folder.path() / "train/a/2.jpg", 40, 90, {10, 200, 90});
  make_png(folder.path() / "test/a/1.png", 0, 9, 9);
  EXPECT_EQ(open_image_folder(folder.path(), Split::Test)->image_shape(), (ImageShape{3, 4, 6}));
  const auto train = open_image_folder(folder.path(), Split::Train);
  Bytes pixels(72);
  train->read(1, pixels);
  for (size_t p = 0; p < 24; ++p) EXPECT_NEAR(pixels[24 + p], 200, 3);
}

TEST(ImageFolder, FittingCutsAroundTheCentreAndAverages) {
  // 2x6, one channel varied: the middle 2x2 remains and is averaged to one pixel.
  detail::RgbImage image{{2, 6}, {}};
  for (uint8_t p = 0; p < 12; ++p) image.pixels.insert(image.pixels.end(), {p, 100, 255});
  const detail::RgbImage one = detail::fit_image(image, {1, 1});
  EXPECT_EQ(one.pixels, (Bytes{6, 100, 255}));  // (2 + 3 + 8 + 9) / 4 = 5.5, rounded up
  const detail::RgbImage big = detail::fit_image(one, {2, 3});
  EXPECT_EQ(big.pixels,
            (Bytes{6, 100, 255, 6, 100, 255, 6, 100, 255, 6, 100, 255, 6, 100, 255, 6, 100, 255}));
}

TEST(ImageFolder, NamesWhatIsMissing) {
  const TempFolder folder;
  const fs::path path = folder.path() / "set";
  const auto open_train = [&] { open_image_folder(path, Split::Train); };
  const auto open_test = [&] { open_image_folder(path, Split::Test); };
  expect_io_error(open_train, "does not exist");
  store(path, {1});
  expect_io_error(open_train, "is not a directory");
  fs::remove(path);
  fs::create_directory(path);
  expect_io_error(open_train, "0 folders of classes");
  fs::create_directory(path / "a");
  expect_io_error(open_train, "no pictures");
  make_png(path / "a/1.png", 0, 2, 2);
  expect_io_error(open_test, "each fifth picture");
  fs::create_directory(path / "train");
  make_png(path / "train/a/1.png", 0, 2, 2);
  expect_io_error(open_test, "neither test nor val, valid or validation");
  make_png(path / "val/b/1.png", 0, 2, 2);
  expect_io_error(open_test, "is a class that");
}

// They go into model files and tables, which are UTF-8.
TEST(ImageFolder, RefusesNamesOfClassesThatAreNoUtf8AndSpellsOutOthers) {
  const TempFolder folder;
  make_png(folder.path() / "a/1.png", 0, 2, 2);
  store(folder.path() / "a/note\xff.t\xfe", {1});
  const auto set = open_image_folder(folder.path(), Split::Train);
  ASSERT_EQ(set->notes().size(), 1u);
  EXPECT_NE(set->notes()[0].find("note\\xff.t\\xfe"), std::string::npos) << set->notes()[0];
  make_png(folder.path() / "\xff\xfe/1.png", 0, 2, 2);
  expect_io_error([&] { open_image_folder(folder.path(), Split::Train); },
                  "expected names of classes in UTF-8, got '\\xff\\xfe'");
}

TEST(ImageFolder, NamesAFolderWithoutPermission) {
  const TempFolder folder;
  make_png(folder.path() / "train/a/1.png", 0, 2, 2);
  fs::permissions(folder.path() / "train", fs::perms::none);
  {
    const AsNobody nobody;
    expect_io_error([&] { open_image_folder(folder.path(), Split::Train); }, "train");
  }
  fs::permissions(folder.path() / "train", fs::perms::owner_all);
}

TEST(ImageFolder, RejectsAHeaderThatItsBytesCanNotHold) {
  const TempFolder folder;
  const fs::path file = folder.path() / "a.png";
  make_png(file, 0, 2, 2);
  Bytes bytes = load(file);
  // Width at 16, height at 20, checksum of the header chunk at 29: a bomb has a right checksum.
  for (const size_t position : {18, 22}) bytes[position] = 0x1F;
  uint32_t crc = 0xFFFFFFFFu;
  for (size_t i = 12; i < 29; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0u);
  }
  crc = ~crc;
  for (size_t i = 0; i < 4; ++i) bytes[29 + i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
  store(file, bytes);
  expect_io_error([&] { detail::image_size(file); }, "more than its");
}

TEST(ImageFolder, AFileThatVanishesIsAnErrorOfReading) {
  const TempFolder folder;
  const fs::path file = folder.path() / "train/a/1.png";
  make_png(file, 0, 2, 2);
  const auto train = open_image_folder(folder.path(), Split::Train);
  fs::remove(file);
  Bytes pixels(12);
  expect_io_error([&] { train->read(0, pixels); }, "1.png");
}

}  // namespace
}  // namespace espalier::data::testing
