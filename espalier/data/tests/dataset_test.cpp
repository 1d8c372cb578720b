// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/dataset.h>

#include <algorithm>
#include <map>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/data/memory_dataset.h>

#include "fixtures.h"

namespace espalier::data::testing {
namespace {

// One-pixel pictures whose pixel is the sample's number; labels as given.
std::shared_ptr<const Dataset> numbered(const Bytes& labels, int classes) {
  MemoryContent content{.name = "numbered",
                        .shape = {1, 1, 1},
                        .pixels = {},
                        .labels = labels,
                        .class_names = std::vector<std::string>(static_cast<size_t>(classes), "c"),
                        .mean = {0},
                        .stddev = {1}};
  for (size_t i = 0; i < labels.size(); ++i) content.pixels.push_back(static_cast<uint8_t>(i));
  return std::make_shared<MemoryDataset>(std::move(content));
}

std::vector<int> samples_of(const Dataset& dataset) {
  std::vector<int> out;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    uint8_t pixel = 0;
    dataset.read(i, {&pixel, 1});
    out.push_back(pixel);
  }
  return out;
}

std::map<int64_t, int> counts_of(const Dataset& dataset) {
  std::map<int64_t, int> out;
  for (int64_t i = 0; i < dataset.size(); ++i) ++out[dataset.label(i)];
  return out;
}

TEST(Subset, KeepsClassesInProportion) {
  Bytes labels;  // 60 of class 0, 30 of class 1, 10 of class 2
  for (int i = 0; i < 100; ++i) labels.push_back(i % 10 < 6 ? 0 : i % 10 < 9 ? 1 : 2);
  const auto part = subset(numbered(labels, 3), 20, 1);
  EXPECT_EQ(counts_of(*part), (std::map<int64_t, int>{{0, 12}, {1, 6}, {2, 2}}));
}

TEST(Subset, GivesTheRestToTheLargestRemainders) {
  // Shares of 4 out of 3 + 3 + 2: 1.5, 1.5, 1: the tie goes to the lower class.
  const auto part = subset(numbered({0, 0, 0, 1, 1, 1, 2, 2}, 3), 4, 1);
  EXPECT_EQ(counts_of(*part), (std::map<int64_t, int>{{0, 2}, {1, 1}, {2, 1}}));
}

TEST(Subset, IsFixedBySizeAndSeedAndKeepsTheOrder) {
  const auto whole = numbered(Bytes(200, 0), 1);
  const auto a = samples_of(*subset(whole, 50, 1));
  EXPECT_EQ(a, samples_of(*subset(whole, 50, 1)));
  EXPECT_NE(a, samples_of(*subset(whole, 50, 2)));
  for (size_t i = 1; i < a.size(); ++i) EXPECT_LT(a[i - 1], a[i]);
}

TEST(Subset, LabelsStayWithTheirPictures) {
  Bytes labels;
  for (int i = 0; i < 90; ++i) labels.push_back(static_cast<uint8_t>(i % 7));
  const auto part = subset(numbered(labels, 7), 33, 4);
  const auto samples = samples_of(*part);
  for (int64_t i = 0; i < part->size(); ++i) {
    EXPECT_EQ(part->label(i), samples[static_cast<size_t>(i)] % 7);
  }
}

TEST(Subset, TakesAllOrNothing) {
  const auto whole = numbered({0, 1, 0, 1, 1}, 2);
  EXPECT_EQ(samples_of(*subset(whole, 5, 3)), (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_EQ(subset(whole, 0, 3)->size(), 0);
  EXPECT_EQ(subset(numbered({}, 1), 0, 3)->size(), 0);
}

TEST(Subset, WhatIsHeldOutAndTheRestAreTheWhole) {
  Bytes labels;
  for (int i = 0; i < 50; ++i) labels.push_back(i % 3);
  const auto whole = numbered(labels, 3);
  const HeldOut parts = hold_out(whole, 20, 4);
  EXPECT_EQ(samples_of(*parts.held_out), samples_of(*subset(whole, 20, 4)));
  std::vector<int> all = samples_of(*parts.held_out);
  for (const int sample : samples_of(*parts.rest)) all.push_back(sample);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, samples_of(*whole));
  EXPECT_EQ(hold_out(whole, 50, 4).rest->size(), 0);
  EXPECT_THROW(hold_out(whole, 51, 4), ValueError);
}

TEST(Subset, RejectsImpossibleSizes) {
  const auto whole = numbered({0, 1}, 2);
  EXPECT_THROW(subset(whole, 3, 0), ValueError);
  EXPECT_THROW(subset(whole, -1, 0), ValueError);
  EXPECT_THROW(subset(nullptr, 0, 0), ValueError);
  EXPECT_THROW(subset(whole, 1, 0)->label(1), ValueError);
}

TEST(OpenDataset, UnknownNameListsTheKnownOnes) {
  try {
    open_dataset("cifar-10", Split::Train, ".");
    ADD_FAILURE() << "no error";
  } catch (const ValueError& error) {
    for (const DatasetInfo& info : known_datasets()) {
      EXPECT_NE(std::string(error.what()).find(info.name), std::string::npos) << error.what();
    }
    EXPECT_NE(std::string(error.what()).find("folder:PATH"), std::string::npos);
  }
}

TEST(OpenDataset, LooksInTheFolderOfTheName) {
  const TempFolder root;
  make_cifar(root.path() / "cifar10/test_batch.bin", {}, {1, 2});
  make_cifar(root.path() / "cifar100/test.bin", {0}, {3, 4, 5});
  make_svhn(root.path() / "svhn/train_32x32.mat", {1, 2, 3, 4}, true);
  make_svhn(root.path() / "svhn/extra_32x32.mat", {1}, true);
  make_svhn(root.path() / "svhn/test_32x32.mat", {1, 2}, true);
  make_idx(root.path() / "mnist", "t10k", 28, 28, {0, 1, 2, 3, 4, 5}, true);
  make_idx(root.path() / "fashion", "t10k", 28, 28, {0, 1, 2, 3, 4, 5, 6}, false);
  const std::string path = root.path().string();
  EXPECT_EQ(open_dataset("cifar10", Split::Test, path)->size(), 2);
  EXPECT_EQ(open_dataset("cifar100", Split::Test, path)->size(), 3);
  EXPECT_EQ(open_dataset("svhn", Split::Train, path)->size(), 4);
  EXPECT_EQ(open_dataset("svhn+extra", Split::Train, path)->size(), 5);
  EXPECT_EQ(open_dataset("svhn+extra", Split::Test, path)->size(), 2);
  EXPECT_EQ(open_dataset("mnist", Split::Test, path)->size(), 6);
  EXPECT_EQ(open_dataset("fashion", Split::Test, path)->size(), 7);
}

TEST(OpenDataset, FolderIsAPathOfItsOwn) {
  const TempFolder root;
  make_png(root.path() / "train/a/1.png", 0, 3, 3);
  EXPECT_EQ(open_dataset("folder:" + root.path().string(), Split::Train, "unused")->size(), 1);
}

TEST(OpenDataset, SynthNeedsNoFiles) {
  EXPECT_EQ(open_dataset("synth", Split::Test, "/does/not/exist", 1)->size(), 10000);
}

}  // namespace
}  // namespace espalier::data::testing
