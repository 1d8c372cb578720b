// SPDX-License-Identifier: Apache-2.0
// First bytes as the programs that own the formats write them.
#include <espalier/core/file_kind.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace espalier {
namespace {

using namespace std::string_literals;

FileKind kind(const std::string& text) {
  return file_kind(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

// A local header of a zip: signature, 22 bytes, length of the name, of what follows it, the name.
std::string zip_of(const std::string& name) {
  std::string out = "PK\x03\x04"s + std::string(22, '\0');
  out += static_cast<char>(name.size());
  return out + "\0\0\0"s + name + "content";
}

TEST(FileKind, TellsWhatPeopleGiveAsWeights) {
  EXPECT_EQ(kind(zip_of("archive/data.pkl")), FileKind::TorchZip);
  EXPECT_EQ(kind(zip_of("weights/data.pkl")), FileKind::TorchZip);
  EXPECT_EQ(kind(zip_of("conv1.weight.npy")), FileKind::Npz);
  EXPECT_EQ(kind(zip_of("readme.txt")), FileKind::Zip);
  EXPECT_EQ(kind("PK\x03\x04"), FileKind::Zip);
  EXPECT_EQ(kind("\x80\x02\x8A\x0Al\xFC\x9C\x46"s), FileKind::Pickle);  // torch.save before 1.6
  EXPECT_EQ(kind("\x80\x02}q\x01(U\x0B"
                 "batch_label"s),
            FileKind::Pickle);  // CIFAR-10, Python
  EXPECT_EQ(kind("\x80\x04\x95\x10\0\0\0\0\0\0\0}"s), FileKind::Pickle);
  EXPECT_EQ(kind("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n"),
            FileKind::GitLfsPointer);
  EXPECT_EQ(kind("<!DOCTYPE html><html>404</html>"), FileKind::Html);
  EXPECT_EQ(kind("\n  <HTML lang=en>"), FileKind::Html);
  EXPECT_EQ(kind("<?xml version=\"1.0\"?><Error><Code>AccessDenied"), FileKind::Html);
  EXPECT_EQ(kind("<!-- an error --><html>"), FileKind::Html);
  EXPECT_EQ(kind("Not Found"), FileKind::Text);
  EXPECT_EQ(kind("BM is no picture"), FileKind::Text);
  EXPECT_EQ(kind("(dp0\nVconv1.weight\n"), FileKind::Pickle);  // protocol 0 is text
  EXPECT_EQ(kind("ccollections\nOrderedDict\np0\n"), FileKind::Pickle);
  EXPECT_EQ(kind("{\"metadata\":{}}"), FileKind::Json);
  EXPECT_EQ(kind("\x10\0\0\0\0\0\0\0{\"a\":1}"s), FileKind::Safetensors);
  EXPECT_EQ(kind("\x1F\x8B\0\0\0\0\0\0{\"a\":1}"s), FileKind::Safetensors);  // 35,615 bytes
  EXPECT_EQ(kind("\x89HDF\r\n\x1A\n"s), FileKind::Hdf5);
}

TEST(FileKind, TellsArchivesAndPictures) {
  EXPECT_EQ(kind("\x1F\x8B\x08"s), FileKind::Gzip);
  EXPECT_EQ(kind(std::string(257, 'a') + "ustar\0"s), FileKind::Tar);
  EXPECT_EQ(kind("\xFF\xD8\xFF\xE0"s), FileKind::Jpeg);
  EXPECT_EQ(kind("\x89PNG\r\n\x1A\n"s), FileKind::Png);
  EXPECT_EQ(kind("RIFF\x10\0\0\0WEBPVP8 "s), FileKind::WebP);
  EXPECT_EQ(kind("BM\x46\0\0\0\0\0\0\0\x36\0\0\0"s), FileKind::Bmp);
  EXPECT_EQ(kind("GIF89a"), FileKind::Gif);
  EXPECT_EQ(kind(std::string(124, ' ') + "\0\1IM"s), FileKind::Matlab);
  EXPECT_EQ(kind("\0\0\x08\x03\0\0\xEA\x60"s), FileKind::Idx);
}

TEST(FileKind, DoesNotGuess) {
  EXPECT_EQ(kind(""), FileKind::Empty);
  for (const std::string& text : {"BM is no picture\0"s,
                                  "\x80"s,
                                  "\x80\x02"s,
                                  std::string(600, '\0'),
                                  std::string(600, '\xFF')}) {
    EXPECT_EQ(kind(text), FileKind::Unknown) << text;
    EXPECT_EQ(told(kind(text)), "");
  }
}

TEST(FileKind, EveryKindHasANameAndASentence) {
  for (int i = 1; i <= static_cast<int>(FileKind::Pdf); ++i) {
    const auto one = static_cast<FileKind>(i);
    EXPECT_FALSE(name(one).empty()) << i;
    EXPECT_TRUE(told(one).starts_with(". It is " + std::string(name(one)))) << told(one);
  }
  EXPECT_NE(told(FileKind::TorchZip).find("safetensors.torch.save_file"), std::string::npos);
  EXPECT_NE(told(FileKind::GitLfsPointer).find("git lfs pull"), std::string::npos);
}

TEST(FileKind, OfAPathNeverWaitsAndNeverThrows) {
  const auto folder = std::filesystem::temp_directory_path() / "espalier-file-kind";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "page") << "<html>";
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(file_kind(folder / "page"), FileKind::Html);
  EXPECT_EQ(file_kind(folder / "pipe"), FileKind::Unknown);
  EXPECT_EQ(file_kind(folder), FileKind::Unknown);
  EXPECT_EQ(file_kind(folder / "nothing"), FileKind::Unknown);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace espalier
