// SPDX-License-Identifier: Apache-2.0
/// Parallel loops over oneTBB. Chunk limits depend on the problem alone, never on the number of
/// threads, and reductions add in a fixed order: results have the same bits on 1, 2 or 16 threads.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace espalier {

/// A non-owning reference to a callable; valid during the call that receives it.
template <class Signature>
class FunctionRef;
/// The reference itself; see above.
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  /// Refers to `f`, which must outlive the reference.
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // NOLINT: implicit, like std::function
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(static_cast<Args>(args)...);
        }) {}
  /// Calls it.
  R operator()(Args... args) const { return call_(object_, static_cast<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// Sets the number of threads of all loops, at most 1024; 0 means all processors that this process
/// may use: those of its affinity mask, and no more than the quota of its control group. Throws
/// ValueError for other numbers.
void set_num_threads(int n);
/// The number of threads that loops use.
int num_threads();

/// Calls `body(begin, end)` for consecutive ranges of `grain` indices that cover 0..n-1, in
/// parallel. Ranges are multiples of `grain` (the last may be shorter) and don't depend on the
/// thread count. Runs in the calling thread when there is one range. An exception of a body is
/// rethrown.
void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body);

/// Sum of `body(begin, end)` over ranges of `grain` indices, added in index order.
double parallel_sum(int64_t n, int64_t grain, FunctionRef<double(int64_t, int64_t)> body);

}  // namespace espalier
