// SPDX-License-Identifier: Apache-2.0
/// Canonical Huffman codes of small alphabets. Codes follow from their lengths, so that a file
/// holds lengths alone. What the symbols mean is the caller's matter.
///
/// Source: D. A. Huffman, "A method for the construction of minimum-redundancy codes", 1952;
/// canonical order: Schwartz, Kallick, "Generating a canonical prefix encoding", 1964.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <espalier/nn/compress/bit_stream.h>

namespace espalier::nn::compress {

/// Longest code that is written or read. 2^38 symbols would be needed to exceed it.
inline constexpr int kLongestCode = 56;

/// A prefix code for the symbols 0..size-1.
class HuffmanCode {
 public:
  /// The code with the fewest bits in total for these numbers of occurrences; a symbol that never
  /// occurs gets no code, a lone one a code of one bit. Equal weights are joined in a fixed order,
  /// so that equal counts give equal codes.
  static HuffmanCode of_counts(std::span<const int64_t> counts);
  /// The code with these lengths (0: no code). Throws IoError when no complete prefix code has
  /// them.
  static HuffmanCode of_lengths(std::vector<uint8_t> lengths);

  /// Bits of each symbol's code; 0 for symbols without one.
  const std::vector<uint8_t>& lengths() const { return lengths_; }
  /// Bits of a text with these numbers of occurrences.
  int64_t total_bits(std::span<const int64_t> counts) const;

  /// Throws ValueError for a symbol without a code.
  void write(uint32_t symbol, BitWriter& out) const;
  /// Throws IoError when the bits end, or start no code.
  uint32_t read(BitReader& in) const;

 private:
  explicit HuffmanCode(std::vector<uint8_t> lengths);

  std::vector<uint8_t> lengths_;
  std::vector<uint64_t> codes_;     // by symbol
  std::vector<uint32_t> symbols_;   // with a code, by length and then by number
  std::vector<uint64_t> first_;     // by length: the lowest code
  std::vector<uint32_t> position_;  // by length: where its symbols start in symbols_
};

}  // namespace espalier::nn::compress
