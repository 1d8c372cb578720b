// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/checksum.h>

#include <algorithm>
#include <array>
#include <bit>
#include <fstream>
#include <utility>
#include <vector>

#include <espalier/core/error.h>
#include <espalier/data/detail/file_checks.h>

namespace espalier::data {
namespace {

using Block = std::array<uint32_t, 16>;

// RFC 1321: the constants are floor(2^32 |sin(i + 1)|).
constexpr std::array<uint32_t, 64> kMd5 = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
constexpr std::array<int, 16> kMd5Turns = {
    7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21};

// FIPS 180-4: the first 32 bits of the fractional parts of the cube roots of the first 64 primes.
constexpr std::array<uint32_t, 64> kSha256 = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

using State = std::array<uint32_t, 8>;

void md5_block(State& state, const uint8_t* bytes) {
  Block m;
  for (size_t i = 0; i < 16; ++i) {
    m[i] = uint32_t{bytes[4 * i]} | uint32_t{bytes[4 * i + 1]} << 8 |
           uint32_t{bytes[4 * i + 2]} << 16 | uint32_t{bytes[4 * i + 3]} << 24;
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  for (size_t i = 0; i < 64; ++i) {
    const size_t round = i / 16;
    uint32_t f = 0;
    size_t word = i;
    switch (round) {
      case 0:
        f = (b & c) | (~b & d);
        break;
      case 1:
        f = (d & b) | (~d & c);
        word = 5 * i + 1;
        break;
      case 2:
        f = b ^ c ^ d;
        word = 3 * i + 5;
        break;
      default:
        f = c ^ (b | ~d);
        word = 7 * i;
    }
    const uint32_t turned = std::rotl(a + f + kMd5[i] + m[word % 16], kMd5Turns[4 * round + i % 4]);
    a = std::exchange(d, std::exchange(c, std::exchange(b, b + turned)));
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
}

void sha256_block(State& state, const uint8_t* bytes) {
  std::array<uint32_t, 64> w;
  for (size_t i = 0; i < 16; ++i) {
    w[i] = uint32_t{bytes[4 * i]} << 24 | uint32_t{bytes[4 * i + 1]} << 16 |
           uint32_t{bytes[4 * i + 2]} << 8 | uint32_t{bytes[4 * i + 3]};
  }
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  State s = state;  // a .. h
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t s1 = std::rotr(s[4], 6) ^ std::rotr(s[4], 11) ^ std::rotr(s[4], 25);
    const uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
    const uint32_t t1 = s[7] + s1 + choice + kSha256[i] + w[i];
    const uint32_t s0 = std::rotr(s[0], 2) ^ std::rotr(s[0], 13) ^ std::rotr(s[0], 22);
    const uint32_t majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
    s = {t1 + s0 + majority, s[0], s[1], s[2], s[3] + t1, s[4], s[5], s[6]};
  }
  for (size_t i = 0; i < 8; ++i) state[i] += s[i];
}

}  // namespace

struct Checksum::Impl {
  Digest digest;
  State state{};
  std::array<uint8_t, 64> tail{};  // of the bytes so far, what does not fill a block
  uint64_t count = 0;

  void block(const uint8_t* bytes) {
    digest == Digest::Md5 ? md5_block(state, bytes) : sha256_block(state, bytes);
  }
};

Checksum::Checksum(Digest digest) : impl_(std::make_unique<Impl>()) {
  impl_->digest = digest;
  if (digest == Digest::Md5) {
    impl_->state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0, 0, 0, 0};
  } else {
    impl_->state = {0x6a09e667,
                    0xbb67ae85,
                    0x3c6ef372,
                    0xa54ff53a,
                    0x510e527f,
                    0x9b05688c,
                    0x1f83d9ab,
                    0x5be0cd19};
  }
}

Checksum::~Checksum() = default;
Checksum::Checksum(Checksum&&) noexcept = default;
Checksum& Checksum::operator=(Checksum&&) noexcept = default;

void Checksum::update(std::span<const uint8_t> bytes) {
  Impl& impl = *impl_;
  while (!bytes.empty()) {
    const size_t used = impl.count % 64;
    if (used == 0 && bytes.size() >= 64) {
      impl.block(bytes.data());
      impl.count += 64;
      bytes = bytes.subspan(64);
      continue;
    }
    const size_t n = std::min(64 - used, bytes.size());
    std::copy_n(bytes.data(), n, impl.tail.data() + used);
    impl.count += n;
    bytes = bytes.subspan(n);
    if (impl.count % 64 == 0) impl.block(impl.tail.data());
  }
}

std::string Checksum::hex() const {
  Checksum last(impl_->digest);
  *last.impl_ = *impl_;
  const bool md5 = impl_->digest == Digest::Md5;
  // A one bit, zeros up to 8 bytes before the end of a block, the number of bits.
  const uint64_t bits = impl_->count * 8;
  std::vector<uint8_t> end = {0x80};
  while ((impl_->count + end.size()) % 64 != 56) end.push_back(0);
  for (int i = 0; i < 8; ++i)
    end.push_back(static_cast<uint8_t>(bits >> (md5 ? 8 * i : 56 - 8 * i)));
  last.update(end);
  std::string out;
  for (size_t word = 0; word < (md5 ? 4 : 8); ++word) {
    for (int i = 0; i < 4; ++i) {
      const uint32_t byte = last.impl_->state[word] >> (md5 ? 8 * i : 24 - 8 * i) & 255u;
      out += "0123456789abcdef"[byte / 16];
      out += "0123456789abcdef"[byte % 16];
    }
  }
  return out;
}

std::string file_checksum(const std::filesystem::path& path, Digest digest) {
  detail::check_readable(path, "checksum");
  std::ifstream in(path, std::ios::binary);
  Checksum sum(digest);
  std::vector<uint8_t> piece(size_t{1} << 16);
  do {
    in.read(reinterpret_cast<char*>(piece.data()), static_cast<std::streamsize>(piece.size()));
    sum.update(std::span(piece).first(static_cast<size_t>(in.gcount())));
  } while (in);
  ESPALIER_CHECK(in.eof(), IoError, "checksum: ", path.string(), " can't be read to its end");
  return sum.hex();
}

}  // namespace espalier::data
