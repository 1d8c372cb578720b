// SPDX-License-Identifier: Apache-2.0
// The oracle of all targets: what is read depends on the input alone, not on what memory held
// before. All that is allocated is filled, once with one byte and once with another.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <string>

#include <malloc.h>

#include <espalier/core/error.h>
#include <espalier/core/fuzz/target.h>
#include <espalier/core/storage.h>

namespace {

constexpr size_t kMostFilled = 1 << 20;  // of a block: time is for reading
std::atomic<int> fill_byte{0};

void* filled(void* block, size_t size) {
  if (block != nullptr) std::memset(block, fill_byte, std::min(size, kMostFilled));
  return block;
}
void* plain(size_t size) {
  return filled(std::malloc(std::max<size_t>(size, 1)), size);
}
void* aligned(size_t size, std::align_val_t alignment) {
  const auto step = static_cast<size_t>(alignment);
  return filled(std::aligned_alloc(step, (std::max<size_t>(size, 1) + step - 1) / step * step),
                size);
}
void* or_throw(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

}  // namespace

// Every form: one that is left to a sanitizer would not fit the others.
void* operator new(size_t size) {
  return or_throw(plain(size));
}
void* operator new[](size_t size) {
  return or_throw(plain(size));
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return plain(size);
}
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return plain(size);
}
void* operator new(size_t size, std::align_val_t alignment) {
  return or_throw(aligned(size, alignment));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return or_throw(aligned(size, alignment));
}
void* operator new(size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return aligned(size, alignment);
}
void* operator new[](size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return aligned(size, alignment);
}
void operator delete(void* block) noexcept {
  std::free(block);
}
void operator delete(void* block, size_t) noexcept {
  std::free(block);
}
void operator delete(void* block, const std::nothrow_t&) noexcept {
  std::free(block);
}
void operator delete(void* block, std::align_val_t) noexcept {
  std::free(block);
}
void operator delete(void* block, size_t, std::align_val_t) noexcept {
  std::free(block);
}
void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept {
  std::free(block);
}
void operator delete[](void* block) noexcept {
  std::free(block);
}
void operator delete[](void* block, size_t) noexcept {
  std::free(block);
}
void operator delete[](void* block, const std::nothrow_t&) noexcept {
  std::free(block);
}
void operator delete[](void* block, std::align_val_t) noexcept {
  std::free(block);
}
void operator delete[](void* block, size_t, std::align_val_t) noexcept {
  std::free(block);
}
void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept {
  std::free(block);
}

namespace espalier::fuzz {
namespace {

constexpr uint64_t kStart = 14695981039346656037ull;
uint64_t seen = kStart;

struct Outcome {
  uint64_t seen = 0;
  std::optional<std::string> error;
  bool operator==(const Outcome&) const = default;
};

Outcome read_with(const Bytes& input, int byte) {
  release_pooled_memory();
  fill_byte = byte;
  // For libraries in C. Sanitizers have an allocator of their own, which leaves this without
  // effect.
  ::mallopt(M_PERTURB, byte);
  seen = kStart;
  Outcome out;
  try {
    read(input);
  } catch (const Error& error) {
    out.error = error.what();
  }
  out.seen = seen;
  return out;
}

[[noreturn]] void found(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

}  // namespace

void saw(const void* bytes, size_t count) {
  const auto* at = static_cast<const uint8_t*>(bytes);
  for (size_t i = 0; i < count; ++i) seen = (seen ^ at[i]) * 1099511628211ull;
}

void saw(const Bytes& bytes) {
  saw(bytes.data(), bytes.size());
}

void saw(std::string_view text) {
  saw(text.data(), text.size());
}

void read_twice(const Bytes& input) {
  const Outcome one = read_with(input, 0x5a);
  const Outcome two = read_with(input, 0xa5);
  if (!(one == two)) found("read twice, two different results: memory that was never written");
  if (one.error) throw Error(*one.error);
}

void refuse_all() {
  if (refused == nullptr) return;
  for (const Bytes& input : refused()) {
    try {
      read(input);
    } catch (const Error&) {
      continue;
    }
    found("an input that is to be refused was read");
  }
}

}  // namespace espalier::fuzz
