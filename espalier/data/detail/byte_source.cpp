// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/byte_source.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include <zlib.h>

#include <espalier/core/error.h>
#include <espalier/core/io.h>

namespace espalier::data::detail {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 31;
constexpr int64_t kMaxDeflateRatio = 1032;  // zlib's documented limit, reached by runs of one byte
constexpr int kGzipOnly = 16 + MAX_WBITS;

}  // namespace

struct ByteSource::Impl {
  std::filesystem::path path;
  std::string what;
  std::vector<uint8_t> content;
  size_t position = 0;  // of plain content
  bool packed = false;
  bool ended = false;  // the packed stream's end was seen
  z_stream stream = {};

  ~Impl() {
    if (packed) inflateEnd(&stream);
  }

  // Unpacks at most `bytes.size()` bytes; fewer only at the end of the stream.
  size_t unpack(std::span<uint8_t> bytes, const ByteSource& source) {
    stream.next_out = bytes.data();
    stream.avail_out = static_cast<uInt>(bytes.size());
    while (stream.avail_out > 0 && !ended) {
      const int result = inflate(&stream, Z_NO_FLUSH);
      ended = result == Z_STREAM_END;
      if (result == Z_BUF_ERROR) source.fail("is truncated: its gzip data ends too early");
      if (result != Z_OK && !ended) source.fail("has broken gzip data");
    }
    return bytes.size() - stream.avail_out;
  }
};

ByteSource::ByteSource(const std::filesystem::path& path, std::string what)
    : impl_(std::make_unique<Impl>()) {
  Impl& impl = *impl_;
  impl.path = path;
  impl.content = read_file(path, what, kMaxFileBytes);
  impl.what = std::move(what);
  if (impl.content.empty()) fail("is empty");
  if (impl.content.size() >= 2 && impl.content[0] == 0x1F && impl.content[1] == 0x8B) {
    impl.stream.next_in = impl.content.data();
    impl.stream.avail_in = static_cast<uInt>(impl.content.size());
    if (inflateInit2(&impl.stream, kGzipOnly) != Z_OK)
      fail("can't be unpacked: zlib has no memory");
    impl.packed = true;
  }
}

ByteSource::~ByteSource() = default;

void ByteSource::read(std::span<uint8_t> bytes) {
  Impl& impl = *impl_;
  if (impl.packed) {
    constexpr size_t kPiece = size_t{1} << 30;  // zlib counts in 32 bits
    while (!bytes.empty()) {
      const std::span<uint8_t> piece = bytes.first(std::min(bytes.size(), kPiece));
      if (impl.unpack(piece, *this) != piece.size()) fail("is truncated");
      bytes = bytes.subspan(piece.size());
    }
    return;
  }
  if (impl.content.size() - impl.position < bytes.size()) fail("is truncated");
  if (!bytes.empty()) std::memcpy(bytes.data(), impl.content.data() + impl.position, bytes.size());
  impl.position += bytes.size();
}

uint32_t ByteSource::read_u32_be() {
  uint8_t b[4];
  read(b);
  return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
}

void ByteSource::expect_end() {
  Impl& impl = *impl_;
  bool more = impl.position != impl.content.size();
  if (impl.packed) {
    uint8_t byte;
    more = impl.unpack({&byte, 1}, *this) != 0 || impl.stream.avail_in != 0;
  }
  if (more) fail("is longer than its header says");
}

int64_t ByteSource::most_left() const {
  const Impl& impl = *impl_;
  if (impl.packed) return (static_cast<int64_t>(impl.stream.avail_in) + 1024) * kMaxDeflateRatio;
  return static_cast<int64_t>(impl.content.size() - impl.position);
}

const std::filesystem::path& ByteSource::path() const {
  return impl_->path;
}

void ByteSource::fail(const std::string& text) const {
  throw IoError(cat(impl_->what, ": ", impl_->path.string(), " ", text));
}

}  // namespace espalier::data::detail
