// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/compress/coded_weight.h>

#include <algorithm>
#include <cmath>

#include <espalier/nn/compress/huffman.h>
#include <espalier/nn/compress/kmeans.h>
#include <espalier/nn/compress/relative_index.h>

namespace espalier::nn::compress {
namespace {

constexpr int kLengthBits = 6;
static_assert(kLongestCode < 1 << kLengthBits);
constexpr int64_t kMostCentroids = int64_t{1} << 16;

std::vector<int64_t> counts_of(const std::vector<uint32_t>& symbols, size_t alphabet) {
  std::vector<int64_t> counts(alphabet, 0);
  for (const uint32_t symbol : symbols) ++counts[symbol];
  return counts;
}

void write_lengths(const HuffmanCode& code, ByteWriter& out) {
  BitWriter bits;
  for (const uint8_t length : code.lengths()) bits.put(length, kLengthBits);
  out.block(bits.finish());
}

HuffmanCode read_lengths(ByteReader& in, int64_t symbols) {
  BitReader bits(in.block(static_cast<size_t>((symbols * kLengthBits + 7) / 8)));
  std::vector<uint8_t> lengths(static_cast<size_t>(symbols));
  for (uint8_t& length : lengths) length = static_cast<uint8_t>(bits.bits(kLengthBits));
  ESPALIER_CHECK(bits.finished(), IoError, "the bits after a code's lengths are not zero");
  return HuffmanCode::of_lengths(std::move(lengths));
}

void write_stream(const std::vector<uint32_t>& symbols, const HuffmanCode& code, ByteWriter& out) {
  BitWriter bits;
  for (const uint32_t symbol : symbols) code.write(symbol, bits);
  const std::vector<uint8_t> bytes = bits.finish();
  out.varint(bytes.size());
  out.block(bytes);
}

std::vector<uint32_t> read_stream(ByteReader& in, int64_t entries, const HuffmanCode& code) {
  const int64_t bytes = in.size("the length of a stream", in.left());
  // A code has at least one bit: so many entries can be there, and memory is asked for after that.
  ESPALIER_CHECK(
      entries <= 8 * bytes, IoError, entries, " entries in a stream of ", bytes, " bytes");
  BitReader bits(in.block(static_cast<size_t>(bytes)));
  std::vector<uint32_t> out(static_cast<size_t>(entries));
  for (uint32_t& symbol : out) symbol = code.read(bits);
  ESPALIER_CHECK(bits.finished(), IoError, "a stream goes on after its last entry");
  return out;
}

KeptValues read_body(ByteReader& in, int64_t size) {
  const auto bits_per_gap = in.number<uint8_t>();
  ESPALIER_CHECK(bits_per_gap >= 1 && bits_per_gap <= 16,
                 IoError,
                 "gaps of ",
                 static_cast<int>(bits_per_gap),
                 " bits");
  const int64_t entries = in.size("the number of entries", size);
  const int64_t k = in.size("the number of centroids", std::min(entries, kMostCentroids));
  std::vector<float> centroids(static_cast<size_t>(k));
  for (float& centroid : centroids) {
    centroid = in.number<float>();
    ESPALIER_CHECK(std::isfinite(centroid), IoError, "a centroid is not finite");
  }
  const HuffmanCode value_code = read_lengths(in, k + 1);
  const int64_t gap_symbols = in.size("the number of gap symbols", int64_t{1} << bits_per_gap);
  const HuffmanCode gap_code = read_lengths(in, gap_symbols);
  const std::vector<uint32_t> symbols = read_stream(in, entries, value_code);
  RelativeIndex index{.gaps = read_stream(in, entries, gap_code), .filler = {}};
  const uint32_t widest = (1U << bits_per_gap) - 1;
  KeptValues out;
  for (size_t i = 0; i < symbols.size(); ++i) {
    const bool filler = symbols[i] == 0;
    ESPALIER_CHECK(!filler || index.gaps[i] == widest, IoError, "a filler bridges too little");
    index.filler.push_back(filler);
    if (!filler) out.values.push_back(centroids[symbols[i] - 1]);
  }
  out.positions = decode_positions(index, size);
  return out;
}

}  // namespace

CodedSize write_weight(const KeptValues& kept, int bits, int bits_per_gap, ByteWriter& out) {
  ESPALIER_CHECK(kept.positions.size() == kept.values.size() && bits >= 1 && bits <= 16,
                 ValueError,
                 "write_weight: expects a position per value and 1..16 bits, got ",
                 kept.positions.size(),
                 " positions, ",
                 kept.values.size(),
                 " values and ",
                 bits,
                 " bits");
  const Clusters clusters = kmeans(kept.values, int64_t{1} << bits);
  const RelativeIndex index = encode_positions(kept.positions, bits_per_gap);
  std::vector<uint32_t> symbols;
  symbols.reserve(index.gaps.size());
  auto next = clusters.index.begin();
  for (const bool filler : index.filler) symbols.push_back(filler ? 0 : 1 + *next++);

  const size_t k = clusters.centroids.size();
  const auto largest = std::max_element(index.gaps.begin(), index.gaps.end());
  const size_t gap_symbols = largest == index.gaps.end() ? 0 : size_t{*largest} + 1;
  const std::vector<int64_t> symbol_counts = counts_of(symbols, k + 1);
  const std::vector<int64_t> gap_counts = counts_of(index.gaps, gap_symbols);
  const HuffmanCode value_code = HuffmanCode::of_counts(symbol_counts);
  const HuffmanCode gap_code = HuffmanCode::of_counts(gap_counts);

  out.number(static_cast<uint8_t>(bits_per_gap));
  out.varint(symbols.size());
  out.varint(k);
  for (const float centroid : clusters.centroids) out.number(centroid);
  write_lengths(value_code, out);
  out.varint(gap_symbols);
  write_lengths(gap_code, out);
  write_stream(symbols, value_code, out);
  write_stream(index.gaps, gap_code, out);
  return {.kept = static_cast<int64_t>(kept.values.size()),
          .entries = static_cast<int64_t>(symbols.size()),
          .clusters = static_cast<int64_t>(k),
          .value_bits = value_code.total_bits(symbol_counts),
          .gap_bits = gap_code.total_bits(gap_counts)};
}

KeptValues read_weight(ByteReader& in, int64_t size) {
  try {
    return read_body(in, size);
  } catch (const Error& error) {
    throw IoError(cat(in.where(), ": ", error.what()));
  }
}

}  // namespace espalier::nn::compress
