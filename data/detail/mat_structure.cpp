// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/mat_structure.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

#include <zlib.h>

#include <espalier/core/error.h>

namespace espalier::data::detail {
namespace {

constexpr int64_t kFileHeader = 128;
constexpr uint32_t kInt8 = 1, kInt32 = 5, kUint32 = 6, kMatrix = 14, kCompressed = 15;
// Classes of arrays of numbers: double, single, signed and unsigned integers of 8 to 64 bits. For
// cells and structures matio makes room as soon as it reads their dimensions, whatever these say.
constexpr uint32_t kFirstNumeric = 6, kLastNumeric = 15;
constexpr uint32_t kMostDimensions = 8;
constexpr uint32_t kLongestName = 63;
// Room for a matrix's tag, flags, dimensions and name, also when packed behind zlib's code tables.
constexpr size_t kMatrixHeader = 1024;

struct Start {
  std::array<unsigned char, kMatrixHeader> bytes = {};
  size_t size = 0;
  uint32_t number(size_t at) const {
    uint32_t out = 0;
    if (at + 4 <= size) std::memcpy(&out, bytes.data() + at, 4);
    return out;
  }
};

// The first bytes of what zlib packed; fewer when that is broken.
Start inflated(const Start& packed) {
  Start out;
  z_stream stream = {};
  if (inflateInit(&stream) != Z_OK) return out;
  stream.next_in = const_cast<unsigned char*>(packed.bytes.data());
  stream.avail_in = static_cast<uInt>(packed.size);
  stream.next_out = out.bytes.data();
  stream.avail_out = static_cast<uInt>(out.bytes.size());
  inflate(&stream, Z_SYNC_FLUSH);
  out.size = out.bytes.size() - stream.avail_out;
  inflateEnd(&stream);
  return out;
}

bool is_plain_array(const Start& matrix) {
  if (matrix.number(0) != kMatrix) return false;
  if (matrix.number(8) != kUint32 || matrix.number(12) != 8) return false;
  const uint32_t array_class = matrix.number(16) & 0xff;
  if (array_class < kFirstNumeric || array_class > kLastNumeric) return false;
  if (matrix.number(24) != kInt32) return false;
  const uint32_t dimension_bytes = matrix.number(28);
  if (dimension_bytes % 4 != 0 || dimension_bytes < 8 || dimension_bytes > 4 * kMostDimensions) {
    return false;
  }
  const size_t name = 32 + (dimension_bytes + 7) / 8 * 8;
  // Names of up to four bytes share their tag: the length is in its upper half.
  const uint32_t tag = matrix.number(name);
  const uint32_t length = tag >> 16 != 0 ? tag >> 16 : matrix.number(name + 4);
  return (tag & 0xffff) == kInt8 && length <= kLongestName;
}

}  // namespace

void check_mat_structure(const std::filesystem::path& path, int64_t size, std::string_view what) {
  const auto fail = [&](const std::string& text) {
    throw IoError(cat(what, ": ", path.string(), " ", text));
  };
  std::ifstream in(path, std::ios::binary);
  char header[kFileHeader];
  if (size < kFileHeader || !in.read(header, kFileHeader)) {
    fail("is too short for a MATLAB file");
  }
  if (std::memcmp(header + 124, "\x00\x01IM", 4) != 0) {
    fail("is not a MATLAB v5 file of little-endian order (v7.3 files are not supported)");
  }
  for (int64_t position = kFileHeader; position < size;) {
    Start start;
    in.seekg(position);
    start.size = static_cast<size_t>(std::min<int64_t>(kMatrixHeader, size - position));
    if (start.size < 8 || !in.read(reinterpret_cast<char*>(start.bytes.data()),
                                   static_cast<std::streamsize>(start.size))) {
      fail("is truncated");
    }
    const uint32_t type = start.number(0);
    if (type != kMatrix && type != kCompressed) {
      fail(cat("has an element of unknown type ", type, " at byte ", position));
    }
    const int64_t next = position + 8 + int64_t{start.number(4)};
    if (next > size) fail("is truncated: an element is longer than the rest of the file");
    if (type == kCompressed) {
      Start packed;
      packed.size = std::min<size_t>(start.size - 8, static_cast<size_t>(next - position - 8));
      std::copy_n(start.bytes.begin() + 8, packed.size, packed.bytes.begin());
      start = inflated(packed);
    }
    if (!is_plain_array(start)) {
      fail(cat("has an element at byte ", position, " that does not begin as a plain array does"));
    }
    position = next;
  }
}

}  // namespace espalier::data::detail
