// SPDX-License-Identifier: Apache-2.0
/// Machine code that is made while the program runs: the few AVX-512 instructions that
/// conv2d_planes_code.cpp needs, and memory that holds them. Not a public interface.
///
/// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, section 2.7
/// (EVEX encoding).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace espalier::sparse::detail {

/// Bytes that can be run and no longer be written. Freed with the last pointer to it.
class MachineCode {
 public:
  /// Null where this machine or system doesn't run such code.
  static std::unique_ptr<const MachineCode> make(std::span<const uint8_t> code);
  ~MachineCode();
  MachineCode(const MachineCode&) = delete;
  MachineCode& operator=(const MachineCode&) = delete;

  const void* at(size_t offset) const { return static_cast<const uint8_t*>(memory_) + offset; }
  size_t size() const { return size_; }

 private:
  MachineCode(void* memory, size_t size) : memory_(memory), size_(size) {}
  void* memory_;
  size_t size_;
};

/// Registers that hold addresses, by the numbers that instructions have for them.
enum class Base : uint8_t { Rcx = 1, Rdx = 2, Rsi = 6, Rdi = 7, R8 = 8, R9 = 9 };
struct Address {
  Base base;
  int64_t bytes;  ///< from there; fits 32 bits
};

/// Appends instructions on vectors of 16 floats, registers 0 to 31.
class Assembler {
 public:
  const std::vector<uint8_t>& code() const { return code_; }
  size_t size() const { return code_.size(); }

  /// v = 16 floats.
  void load(int v, Address from) { memory(kLoad, {v}, from); }
  /// v = one float, sixteen times.
  void broadcast(int v, Address from) { memory(kBroadcast, {v}, from); }
  /// sum += x * one float.
  void multiply_add(int sum, int x, Address factor) {
    memory(kMultiplyAdd, {.reg = sum, .other = x}, factor);
  }
  /// v += 16 floats; only those that mask register 1 to 7 has, or all with 0.
  void add(int v, Address to_add, int mask) {
    memory(kAdd, {.reg = v, .other = v, .mask = mask}, to_add);
  }
  /// v = v < low ? low : v; a NaN stays.
  void raise_to(int v, int low) { registers(kMax, v, low, v); }
  /// v = v > high ? high : v; a NaN stays.
  void lower_to(int v, int high) { registers(kMin, v, high, v); }
  void store(int v, Address to, int mask) { memory(kStore, {.reg = v, .mask = mask}, to); }
  /// A mask register = 16 bits; from R9, less than 128 bytes on.
  void load_mask(int mask, Address from);
  /// The register itself moves on.
  void advance(Base base, int32_t bytes);
  /// Goes on where the 8 bytes at the address say; from R9, less than 128 bytes on.
  void jump_to(Address target);
  /// Back to the caller, with the upper halves of vectors clear.
  void finish();

 private:
  struct Op {
    uint8_t map, prefix, code;
    int64_t unit;  // bytes that a short distance counts
    bool spreads;  // one float to all lanes
  };
  static constexpr Op kLoad{1, 0, 0x10, 64, false};
  static constexpr Op kStore{1, 0, 0x11, 64, false};
  static constexpr Op kAdd{1, 0, 0x58, 64, false};
  static constexpr Op kMax{1, 0, 0x5f, 64, false};
  static constexpr Op kMin{1, 0, 0x5d, 64, false};
  static constexpr Op kBroadcast{2, 1, 0x18, 4, false};
  static constexpr Op kMultiplyAdd{2, 1, 0xb8, 4, true};
  struct Operands {
    int reg;
    int other = 0;
    int mask = 0;
  };
  void bytes(std::initializer_list<int> all);
  void int32(int64_t value);
  // The prefix of an instruction whose last operand has the bits 3 and 4 `high`.
  void prefix(const Op& op, const Operands& operands, int high);
  void memory(const Op& op, const Operands& operands, Address address);
  void registers(const Op& op, int reg, int first, int second);

  std::vector<uint8_t> code_;
};

}  // namespace espalier::sparse::detail
