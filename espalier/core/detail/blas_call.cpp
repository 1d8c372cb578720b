// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/blas_call.h>

#include <atomic>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <vector>

#include <cblas.h>

// OpenBLAS's own, in no header of it; a build that hides them leaves these null.
extern "C" {
__attribute__((weak)) void* blas_memory_alloc(int place);
__attribute__((weak)) void blas_memory_free(void* buffer);

// OpenBLAS asks this function of its own how many threads it shall start while it is being loaded,
// before any line of ours runs. They would never work, for the pool of parallel_for owns the cores,
// but without memory they spin, and exit waits for them. A definition in the program, or in a
// library that needs OpenBLAS, comes before OpenBLAS's.
__attribute__((visibility("default"))) int openblas_num_threads_env() {
  return 1;
}
}

namespace espalier::detail {
namespace {

constexpr size_t kBufferBytes = (size_t{32} << 22) + 8192;

std::shared_mutex growing;    // held shared by calls, alone while a buffer is added
std::atomic<int> running{0};  // calls
std::atomic<int> buffers{0};  // which OpenBLAS has at least

void add_buffer() {
  const std::unique_lock alone(growing);
  // No call runs now, so all buffers are free: taking one more than there are makes a new one.
  const int wanted = buffers + 1;
  ::operator delete(::operator new(kBufferBytes));
  std::vector<void*> taken;
  for (int i = 0; i < wanted; ++i) taken.push_back(blas_memory_alloc(0));
  for (void* buffer : taken) blas_memory_free(buffer);
  buffers = wanted;
}

}  // namespace

BlasCall::BlasCall() {
  // If the program was loaded in a way that hides the function above.
  static const bool single = (openblas_set_num_threads(1), true);
  (void)single;
  for (;;) {
    growing.lock_shared();
    if (++running <= buffers || blas_memory_alloc == nullptr || blas_memory_free == nullptr) return;
    --running;
    growing.unlock_shared();
    add_buffer();
  }
}

BlasCall::~BlasCall() {
  --running;
  growing.unlock_shared();
}

}  // namespace espalier::detail
