// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/mat_structure.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <zlib.h>

#include <espalier/core/error.h>
#include <espalier/core/file_kind.h>

namespace espalier::data::detail {
namespace {

constexpr int64_t kFileHeader = 128;
constexpr uint32_t kInt8 = 1, kInt32 = 5, kUint32 = 6, kMatrix = 14, kCompressed = 15;
// Classes of arrays of numbers: double, single, signed and unsigned integers of 8 to 64 bits. For
// cells and structures matio makes room as soon as it reads their dimensions, whatever these say.
constexpr uint32_t kFirstNumeric = 6, kLastNumeric = 15;
constexpr uint32_t kMostDimensions = 8;
// An element's length has 32 bits.
constexpr uint64_t kMostNumbers = uint64_t{1} << 32;
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

// The first bytes of what zlib packed, fewer when that is broken, and how many there are in all:
// matio does not clear the memory that packed data which ends early leaves unwritten.
struct Inflated {
  Start start;
  uint64_t size = 0;
  bool whole = false;  // up to the end of the packed stream, and its checksum is right
};

class Inflater {
 public:
  Inflater() { ready_ = inflateInit(&stream_) == Z_OK; }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  Inflated run(std::istream& in, int64_t count) {
    Inflated out;
    std::vector<unsigned char> packed(kPiece), plain(kPiece);
    while (ready_ && !out.whole && count > 0) {
      const auto n = static_cast<std::streamsize>(std::min<int64_t>(count, kPiece));
      if (!in.read(reinterpret_cast<char*>(packed.data()), n)) break;
      count -= n;
      stream_.next_in = packed.data();
      stream_.avail_in = static_cast<uInt>(n);
      if (!unpack(plain, out)) break;
    }
    return out;
  }

 private:
  static constexpr int64_t kPiece = 1 << 16;

  bool unpack(std::vector<unsigned char>& plain, Inflated& out) {
    for (;;) {
      stream_.next_out = plain.data();
      stream_.avail_out = static_cast<uInt>(plain.size());
      const int result = inflate(&stream_, Z_NO_FLUSH);
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) return false;
      const size_t n = plain.size() - stream_.avail_out;
      const size_t kept = std::min(n, out.start.bytes.size() - out.start.size);
      std::copy_n(plain.begin(), kept, out.start.bytes.begin() + static_cast<long>(out.start.size));
      out.start.size += kept;
      out.size += n;
      out.whole = result == Z_STREAM_END;
      if (out.whole || stream_.avail_out > 0) return true;
    }
  }

  z_stream stream_ = {};
  bool ready_ = false;
};

// Bytes of a number of MATLAB's data types (miINT8 = 1 and so on); 0 for what is no number.
uint64_t bytes_of(uint32_t type) {
  constexpr std::array<uint64_t, 14> kBytes = {0, 1, 1, 2, 2, 4, 4, 4, 0, 8, 0, 0, 8, 8};
  return type < kBytes.size() ? kBytes[type] : 0;
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

// Where the numbers of a plain array end, counted from the beginning of its element; nothing when
// there are not exactly as many as its dimensions say. `text` tells what is wrong.
std::optional<uint64_t> end_of_numbers(const Start& matrix, std::string& text) {
  const uint32_t dimension_bytes = matrix.number(28);
  uint64_t count = 1;
  for (uint32_t at = 32; at < 32 + dimension_bytes; at += 4) {
    const uint64_t n = matrix.number(at);
    if (n > kMostNumbers || count * n > kMostNumbers) {
      text = "has an array of more numbers than any file holds";
      return std::nullopt;
    }
    count *= n;
  }
  size_t at = 32 + (dimension_bytes + 7) / 8 * 8;
  const uint32_t name_tag = matrix.number(at);
  at += name_tag >> 16 != 0 ? 8 : 8 + (matrix.number(at + 4) + 7) / 8 * 8;
  const uint32_t tag = matrix.number(at);
  const bool is_small = tag >> 16 != 0;  // up to four bytes stand in the tag itself
  const uint64_t length = is_small ? tag >> 16 : matrix.number(at + 4);
  const uint64_t size = bytes_of(tag & 0xffff);
  if (at + 8 > matrix.size || size == 0 || length != count * size || (is_small && length > 4)) {
    text = cat("has an array of ",
               count,
               " numbers by its dimensions, and ",
               length,
               " bytes of data of type ",
               tag & 0xffff);
    return std::nullopt;
  }
  return is_small ? at + 8 : at + 8 + length;
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
    fail(cat("is not a MATLAB v5 file of little-endian order (v7.3 files are not supported)",
             told(file_kind(path))));
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
    auto there = static_cast<uint64_t>(next - position);
    if (type == kCompressed) {
      in.clear();
      in.seekg(position + 8);
      const Inflated unpacked = Inflater().run(in, next - position - 8);
      if (!unpacked.whole) fail(cat("has broken packed data in the element at byte ", position));
      start = unpacked.start;
      there = std::min<uint64_t>(unpacked.size, 8 + uint64_t{start.number(4)});
    }
    if (!is_plain_array(start)) {
      fail(cat("has an element at byte ", position, " that does not begin as a plain array does"));
    }
    std::string text;
    const std::optional<uint64_t> end = end_of_numbers(start, text);
    if (!end) fail(text);
    if (*end > there) {
      fail(cat("is truncated: the array at byte ", position, " is longer than its element"));
    }
    position = next;
  }
}

}  // namespace espalier::data::detail
