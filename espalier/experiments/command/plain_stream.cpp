// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/command/plain_stream.h>

#include <cstdint>
#include <string_view>

#include <espalier/core/detail/printable.h>

namespace espalier::experiments {
namespace {

// How many bytes at the end begin a character of UTF-8 without ending it.
size_t unfinished(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<uint8_t>(text[text.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    const size_t bytes = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return bytes > back ? back : 0;
  }
  return 0;
}

}  // namespace

PlainStream::PlainStream(std::ostream& to) : std::ostream(nullptr), buffer_(to) {
  rdbuf(&buffer_);
}

PlainStream::~PlainStream() {
  flush();
}

bool PlainStream::Buffer::pass(size_t count) {
  to_ << espalier::detail::printable(std::string_view(held_).substr(0, count));
  held_.erase(0, count);
  return to_.good();
}

PlainStream::Buffer::int_type PlainStream::Buffer::overflow(int_type byte) {
  if (traits_type::eq_int_type(byte, traits_type::eof())) return traits_type::not_eof(byte);
  const char c = traits_type::to_char_type(byte);
  return xsputn(&c, 1) == 1 ? byte : traits_type::eof();
}

std::streamsize PlainStream::Buffer::xsputn(const char* text, std::streamsize count) {
  held_.append(text, static_cast<size_t>(count));
  return pass(held_.size() - unfinished(held_)) ? count : 0;
}

int PlainStream::Buffer::sync() {
  const bool passed = pass(held_.size());
  to_.flush();
  return passed && to_.good() ? 0 : -1;
}

}  // namespace espalier::experiments
