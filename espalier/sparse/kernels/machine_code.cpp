// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/machine_code.h>

#include <sys/mman.h>

#include <cstring>

namespace espalier::sparse::detail {

std::unique_ptr<const MachineCode> MachineCode::make(std::span<const uint8_t> code) {
#if defined(__x86_64__)
  if (code.empty()) return nullptr;
  void* memory =
      mmap(nullptr, code.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  std::memcpy(memory, code.data(), code.size());
  if (mprotect(memory, code.size(), PROT_READ | PROT_EXEC) != 0) {
    munmap(memory, code.size());
    return nullptr;
  }
  return std::unique_ptr<const MachineCode>(new MachineCode(memory, code.size()));
#else
  (void)code;
  return nullptr;
#endif
}

MachineCode::~MachineCode() {
  munmap(memory_, size_);
}

void Assembler::bytes(std::initializer_list<int> all) {
  for (const int byte : all) code_.push_back(static_cast<uint8_t>(byte));
}

void Assembler::int32(int64_t value) {
  for (int shift = 0; shift < 32; shift += 8) bytes({static_cast<int>(value >> shift & 0xff)});
}

// Numbers of registers are inverted in the prefix: their upper bits, and all of the second operand.
void Assembler::prefix(const Op& op, const Operands& operands, int high) {
  const auto bit = [](int number, int of) { return ~number >> of & 1; };
  constexpr int kWhole = 2 << 5;  // 512 bits
  bytes({0x62,
         bit(operands.reg, 3) << 7 | bit(high, 4) << 6 | bit(high, 3) << 5 |
             bit(operands.reg, 4) << 4 | op.map,
         (~operands.other & 15) << 3 | 1 << 2 | op.prefix,
         kWhole | (op.spreads ? 1 << 4 : 0) | bit(operands.other, 4) << 3 | operands.mask,
         op.code});
}

void Assembler::memory(const Op& op, const Operands& operands, Address address) {
  const int base = static_cast<int>(address.base);
  prefix(op, operands, base);
  const int place = (operands.reg & 7) << 3 | (base & 7);
  const int64_t units = address.bytes / op.unit;
  if (address.bytes == 0) {
    bytes({place});
  } else if (units * op.unit == address.bytes && units >= -128 && units < 128) {
    bytes({1 << 6 | place, static_cast<int>(units & 0xff)});
  } else {
    bytes({2 << 6 | place});
    int32(address.bytes);
  }
}

void Assembler::registers(const Op& op, int reg, int first, int second) {
  prefix(op, {.reg = reg, .other = first}, second);
  bytes({3 << 6 | (reg & 7) << 3 | (second & 7)});
}

void Assembler::load_mask(int mask, Address from) {
  bytes({0xc4, 0xc1, 0x78, 0x90, 0x41 | mask << 3, static_cast<int>(from.bytes)});
}

void Assembler::advance(Base base, int32_t by) {
  bytes({static_cast<int>(base) < 8 ? 0x48 : 0x49, 0x81, 0xc0 | (static_cast<int>(base) & 7)});
  int32(by);
}

void Assembler::jump_to(Address target) {
  bytes({0x41, 0xff, 0x61, static_cast<int>(target.bytes)});
}

void Assembler::finish() {
  bytes({0xc5, 0xf8, 0x77, 0xc3});
}

}  // namespace espalier::sparse::detail
