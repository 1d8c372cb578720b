// SPDX-License-Identifier: Apache-2.0
/// Bits into bytes and back, the highest bit of a byte first. No code tables here.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <espalier/core/error.h>

namespace espalier::nn::compress {

/// Collects bits; `finish` fills the last byte with zeros.
class BitWriter {
 public:
  /// The lowest `count` (0..57) bits of `bits`, the highest of them first.
  void put(uint64_t bits, int count) {
    pending_ = (pending_ << count) | bits;
    filled_ += count;
    for (; filled_ >= 8; filled_ -= 8) {
      bytes_.push_back(static_cast<uint8_t>(pending_ >> (filled_ - 8)));
    }
    pending_ &= (uint64_t{1} << filled_) - 1;
  }
  std::vector<uint8_t> finish() {
    if (filled_ > 0) put(0, 8 - filled_);
    return std::exchange(bytes_, {});
  }

 private:
  std::vector<uint8_t> bytes_;
  uint64_t pending_ = 0;
  int filled_ = 0;
};

/// Reads bits of bytes that must outlive it.
class BitReader {
 public:
  explicit BitReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  /// The next bit. Throws IoError at the end.
  uint32_t bit() {
    ESPALIER_CHECK(
        at_ < 8 * bytes_.size(), IoError, "bit stream: ends after ", bytes_.size(), " bytes");
    const uint32_t out = (bytes_[at_ / 8] >> (7 - at_ % 8)) & 1U;
    ++at_;
    return out;
  }
  /// The next `count` bits as a number, the highest first.
  uint64_t bits(int count) {
    uint64_t out = 0;
    for (int i = 0; i < count; ++i) out = (out << 1) | bit();
    return out;
  }
  /// True when only zero bits that fill the last byte are left.
  bool finished() const {
    if (8 * bytes_.size() - at_ >= 8) return false;
    return at_ % 8 == 0 || (bytes_.back() & ((1U << (8 - at_ % 8)) - 1)) == 0;
  }

 private:
  std::span<const uint8_t> bytes_;
  size_t at_ = 0;  // in bits
};

}  // namespace espalier::nn::compress
