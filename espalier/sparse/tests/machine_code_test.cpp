// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/sparse/kernels/machine_code.h>

namespace espalier::sparse::detail {
namespace {

using Bytes = std::vector<uint8_t>;

/// What one instruction is.
template <class F>
Bytes bytes_of(F append) {
  Assembler code;
  append(code);
  return code.code();
}

// The bytes are GNU as's (binutils 2.40) for the instructions in the comments.
TEST(Assembler, AgreesWithGnuAs) {
  // vmovups zmm31,[rdi+64]
  EXPECT_EQ(bytes_of([](Assembler& c) {
              c.load(31, {Base::Rdi, 64});
            }),
            (Bytes{0x62, 0x61, 0x7c, 0x48, 0x10, 0x7f, 0x01}));
  // vbroadcastss zmm27,[rdx+108]
  EXPECT_EQ(bytes_of([](Assembler& c) {
              c.broadcast(27, {Base::Rdx, 108});
            }),
            (Bytes{0x62, 0x62, 0x7d, 0x48, 0x18, 0x5a, 0x1b}));
  // vfmadd231ps zmm27,zmm30,dword ptr [rsi-512]{1to16}
  EXPECT_EQ(bytes_of([](Assembler& c) {
              c.multiply_add(27, 30, {Base::Rsi, -512});
            }),
            (Bytes{0x62, 0x62, 0x0d, 0x50, 0xb8, 0x5e, 0x80}));
  // vfmadd231ps zmm3,zmm28,dword ptr [rsi+508]{1to16}
  EXPECT_EQ(bytes_of([](Assembler& c) {
              c.multiply_add(3, 28, {Base::Rsi, 508});
            }),
            (Bytes{0x62, 0xf2, 0x1d, 0x50, 0xb8, 0x5e, 0x7f}));
  // vaddps zmm20{k1},zmm20,[rcx+0x3108]
  EXPECT_EQ(bytes_of([](Assembler& c) {
              c.add(20, {Base::Rcx, 0x3108}, 1);
            }),
            (Bytes{0x62, 0xe1, 0x5c, 0x41, 0x58, 0xa1, 0x08, 0x31, 0x00, 0x00}));
  // vmaxps zmm9,zmm28,zmm9
  EXPECT_EQ(bytes_of([](Assembler& c) { c.raise_to(9, 28); }),
            (Bytes{0x62, 0x51, 0x1c, 0x40, 0x5f, 0xc9}));
  // vminps zmm25,zmm29,zmm25
  EXPECT_EQ(bytes_of([](Assembler& c) { c.lower_to(25, 29); }),
            (Bytes{0x62, 0x01, 0x14, 0x40, 0x5d, 0xc9}));
  // vmovups [r8]{k1},zmm17 and vmovups [r8],zmm1
  EXPECT_EQ(bytes_of([](Assembler& c) {
              c.store(1, {Base::R8, 0}, 0);
            }),
            (Bytes{0x62, 0xd1, 0x7c, 0x48, 0x11, 0x08}));
  EXPECT_EQ(bytes_of([](Assembler& c) {
              c.store(17, {Base::R8, 0x3108}, 1);
            }),
            (Bytes{0x62, 0xc1, 0x7c, 0x49, 0x11, 0x88, 0x08, 0x31, 0x00, 0x00}));
  // kmovw k1,[r9+16]
  EXPECT_EQ(bytes_of([](Assembler& c) {
              c.load_mask(1, {Base::R9, 16});
            }),
            (Bytes{0xc4, 0xc1, 0x78, 0x90, 0x49, 0x10}));
  // add rsi,1024
  EXPECT_EQ(bytes_of([](Assembler& c) { c.advance(Base::Rsi, 1024); }),
            (Bytes{0x48, 0x81, 0xc6, 0x00, 0x04, 0x00, 0x00}));
  // jmp [r9+8]
  EXPECT_EQ(bytes_of([](Assembler& c) {
              c.jump_to({Base::R9, 8});
            }),
            (Bytes{0x41, 0xff, 0x61, 0x08}));
  // vzeroupper; ret
  EXPECT_EQ(bytes_of([](Assembler& c) { c.finish(); }), (Bytes{0xc5, 0xf8, 0x77, 0xc3}));
}

TEST(MachineCode, IsWhatWasPutThere) {
  EXPECT_EQ(MachineCode::make({}), nullptr);
  Assembler code;
  code.finish();
  const auto made = MachineCode::make(code.code());
#if defined(__x86_64__)
  ASSERT_NE(made, nullptr);
  EXPECT_EQ(made->size(), code.size());
  const auto* bytes = static_cast<const uint8_t*>(made->at(0));
  EXPECT_TRUE(std::equal(code.code().begin(), code.code().end(), bytes));
#else
  EXPECT_EQ(made, nullptr);
#endif
}

}  // namespace
}  // namespace espalier::sparse::detail
