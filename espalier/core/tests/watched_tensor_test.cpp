// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/watched_tensor.h>

#include <thread>

#include <gtest/gtest.h>

#include <espalier/core/parallel.h>

namespace espalier {
namespace {

TEST(WatchedTensor, NoticesEveryByteThatChanges) {
  // 37 bytes: whole words, a rest, and every place of them.
  Tensor tensor = Tensor::zeros({37}, DType::U8);
  for (int64_t i = 0; i < 37; ++i) {
    const WatchedTensor watched(tensor);
    tensor.data<uint8_t>()[i] ^= 1;
    EXPECT_TRUE(watched.changed()) << i;
  }
}

TEST(WatchedTensor, NoticesChangesBySlicesOfEachOther) {
  Tensor tensor = Tensor::zeros({4, 4});
  const WatchedTensor whole(tensor);
  const WatchedTensor row(tensor.slice(0, 1, 2));
  const WatchedTensor column(tensor.slice(1, 3, 4));
  Tensor corner = tensor.slice(0, 1, 2).slice(1, 3, 4);
  corner.fill_(1.0);
  EXPECT_TRUE(whole.changed());
  EXPECT_TRUE(row.changed());
  EXPECT_TRUE(column.changed());
}

TEST(WatchedTensor, DoesNotCareForOtherPartsOfTheMemory) {
  Tensor tensor = Tensor::zeros({4, 4});
  const WatchedTensor row(tensor.slice(0, 1, 2));
  Tensor other = tensor.slice(0, 2, 3);
  other.fill_(1.0);
  EXPECT_FALSE(row.changed());
}

TEST(WatchedTensor, ReadingIsNoChange) {
  Tensor tensor = Tensor::ones({3});
  const WatchedTensor watched(tensor);
  EXPECT_EQ(tensor.data<float>()[1], 1.0f);
  EXPECT_NE(tensor.raw(), nullptr);
  EXPECT_FALSE(watched.changed());
}

TEST(WatchedTensor, CopiesWatchSinceTheSameMoment) {
  Tensor tensor = Tensor::ones({3});
  WatchedTensor outer;
  {
    const WatchedTensor watched(tensor);
    tensor.fill_(2.0);
    outer = watched;
  }
  EXPECT_TRUE(outer.changed());
  const WatchedTensor later(tensor);
  EXPECT_FALSE(later.changed());
  tensor.fill_(3.0);
  EXPECT_TRUE(later.changed());
}

TEST(WatchedTensor, APointerMayBeWrittenThroughLater) {
  Tensor tensor = Tensor::ones({3});
  const WatchedTensor first(tensor);
  float* pointer = tensor.data<float>();
  EXPECT_FALSE(first.changed());
  const WatchedTensor second(tensor);
  pointer[0] = 5.0f;
  EXPECT_TRUE(first.changed());
  EXPECT_TRUE(second.changed());
}

TEST(WatchedTensor, SeesTheLanesOfABlockedTensor) {
  Tensor tensor = Tensor::ones({3, 2}, DType::F32, Layout::Nchw16n);
  const WatchedTensor watched(tensor);
  Tensor physical = tensor.physical();
  physical.data<float>()[17] = 4.0f;  // sample 1 of feature 1
  EXPECT_EQ(tensor.at({1, 1}), 4.0);
  EXPECT_TRUE(watched.changed());
}

TEST(WatchedTensor, AnEmptyTensorNeverChanges) {
  Tensor tensor = Tensor::zeros({0, 3});
  const WatchedTensor watched(tensor);
  tensor.fill_(1.0);
  EXPECT_FALSE(watched.changed());
  EXPECT_FALSE(WatchedTensor().changed());
}

TEST(WatchedTensor, WatchesFromManyThreads) {
  Tensor tensor = Tensor::zeros({64});
  std::vector<std::thread> threads;
  for (int64_t k = 0; k < 4; ++k) {
    threads.emplace_back([&tensor, k] {
      for (int round = 0; round < 200; ++round) {
        Tensor part = tensor.slice(0, 16 * k, 16 * (k + 1));
        const WatchedTensor watched(part);
        EXPECT_FALSE(watched.changed());
        part.fill_(round + 1.0);
        EXPECT_TRUE(watched.changed());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace espalier
