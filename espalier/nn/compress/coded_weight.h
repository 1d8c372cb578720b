// SPDX-License-Identifier: Apache-2.0
/// One weight as Deep Compression stores it: a code book, positions as relative indices, and both
/// streams in Huffman codes. The file around it is edc_file.h.
///
/// Bytes, in order (varint: byte_stream.h; bit fields: bit_stream.h, filled up to a whole byte):
///   u8        bits of a gap, 1..16
///   varint    number of entries, fillers included
///   varint    number of centroids k, then k float32, ascending in value
///   lengths   of the k+1 symbols of the value code: six bits each. Symbol 0 is a filler, symbol
///             1+j centroid j
///   varint    number of gap symbols (the largest gap plus one; 0 without entries), then their
///             lengths, six bits each
///   varint    bytes of the value stream, and the stream: a code for every entry
///   varint    bytes of the gap stream, and the stream: a code for every entry
///
/// Source: Han, Mao, Dally, "Deep Compression", arXiv:1510.00149.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <espalier/nn/compress/byte_stream.h>

namespace espalier::nn::compress {

/// A weight's kept values and where they are; everything else is zero.
struct KeptValues {
  std::vector<int64_t> positions;  ///< flat, ascending
  std::vector<float> values;       ///< at these positions
};

/// What was written.
struct CodedSize {
  int64_t kept = 0;        ///< values
  int64_t entries = 0;     ///< with fillers
  int64_t clusters = 0;    ///< different values
  int64_t value_bits = 0;  ///< of the value stream
  int64_t gap_bits = 0;    ///< of the gap stream
};

/// Appends `kept` with at most 2^bits different values: as they are if there are no more, else by
/// k-means. Throws ValueError for bits out of 1..16, positions that do not ascend and values that
/// are not finite.
CodedSize write_weight(const KeptValues& kept, int bits, int bits_per_gap, ByteWriter& out);

/// Reads what `write_weight` wrote, for a weight of `size` elements. Throws IoError naming the
/// reader's `where` for anything that it cannot have written.
KeptValues read_weight(ByteReader& in, int64_t size);

}  // namespace espalier::nn::compress
