// SPDX-License-Identifier: Apache-2.0
/// What keeps OpenBLAS to one thread and from waiting for memory without end.
#pragma once

namespace espalier::detail {

/// Stands around every call of BLAS. OpenBLAS takes a buffer of 128 MB of address space for each
/// call that runs at the same time, and when the system has none it tries again for ever; this
/// makes sure beforehand that the buffer is there. Throws std::bad_alloc when there is no room.
class BlasCall {
 public:
  BlasCall();
  ~BlasCall();
  BlasCall(const BlasCall&) = delete;
  BlasCall& operator=(const BlasCall&) = delete;
};

}  // namespace espalier::detail
