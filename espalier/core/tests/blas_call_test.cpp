// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <new>

#include <cblas.h>
#include <gtest/gtest.h>

#include <espalier/core/kernels/gemm.h>
#include <espalier/core/parallel.h>
#include <espalier/core/tensor.h>

namespace espalier {
namespace {

int64_t count_threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

// Before main, and before any product of ours.
const int kBlasThreads = openblas_get_num_threads();
const int64_t kThreads = count_threads();

TEST(OpenBlas, StartsNoThreadsOfItsOwn) {
  EXPECT_EQ(kBlasThreads, 1);
#if !defined(__SANITIZE_THREAD__)  // which has one
  EXPECT_EQ(kThreads, 1);
#endif
}

TEST(OpenBlas, AProductWithoutMemoryIsAnErrorAndNoEndlessWait) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need all of the address space";
#endif
  // In a process of its own, in which OpenBLAS has no buffer yet.
  const auto child = [] {
    set_num_threads(1);
    const Tensor a = Tensor::ones({70, 70});
    Tensor out = Tensor::zeros({70, 70});
    const rlimit limit{60u << 20, 60u << 20};  // below what is in use: nothing more is given
    setrlimit(RLIMIT_AS, &limit);
    alarm(60);
    try {
      gemm(a, a, out);
    } catch (const std::bad_alloc&) {
      _exit(7);
    }
    _exit(8);
  };
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(child(), ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace espalier
