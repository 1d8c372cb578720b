// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/checksum.h>

#include <algorithm>

#include <zlib.h>

#include <espalier/core/detail/bytes.h>
#include <espalier/core/error.h>

namespace espalier::detail {
namespace {

constexpr size_t kLengthBytes = 8;  // of the header, before it
constexpr std::string_view kChecksumKey = "espalier.checksum";
constexpr std::string_view kFormatKey = "espalier.format";
constexpr std::string_view kFormat = "1";
constexpr std::string_view kBeforeDigits = R"({"__metadata__":{"espalier.checksum":"crc32:)";
constexpr std::string_view kZeros = "00000000";
constexpr std::string_view kStart =
    R"({"__metadata__":{"espalier.checksum":"crc32:00000000","espalier.format":"1")";
constexpr size_t kDigitsAt = kLengthBytes + kBeforeDigits.size();
static_assert(kStart.substr(0, kBeforeDigits.size()) == kBeforeDigits);
static_assert(kStart.substr(kBeforeDigits.size(), kZeros.size()) == kZeros);

uint32_t add(uint32_t crc, std::span<const uint8_t> bytes) {
  return static_cast<uint32_t>(::crc32_z(crc, bytes.data(), bytes.size()));
}

bool has_digits(std::span<const uint8_t> file) {
  return file.size() >= kLengthBytes + kStart.size() &&
         std::equal(kBeforeDigits.begin(), kBeforeDigits.end(), file.begin() + kLengthBytes);
}

// The digits that belong into `file`, which has a place for them.
std::string digits_of(std::span<const uint8_t> file) {
  uint32_t crc = add(0, file.first(kDigitsAt));
  crc = add(crc, {reinterpret_cast<const uint8_t*>(kZeros.data()), kZeros.size()});
  crc = add(crc, file.subspan(kDigitsAt + kZeros.size()));
  std::string out;
  for (int shift = 28; shift >= 0; shift -= 4) out += "0123456789abcdef"[(crc >> shift) & 15U];
  return out;
}

}  // namespace

uint32_t crc32(std::span<const uint8_t> bytes) {
  return add(0, bytes);
}

std::string_view checksum_start() {
  return kStart;
}

void put_checksum(std::span<uint8_t> file) {
  if (!has_digits(file)) return;
  const std::string digits = digits_of(file);
  std::copy(digits.begin(), digits.end(), file.begin() + kDigitsAt);
}

bool check_checksum(std::span<const uint8_t> file, const std::string& where) {
  if (!has_digits(file)) return false;
  if (little_endian(file.first(kLengthBytes)) > file.size() - kLengthBytes) return false;
  const std::string right = digits_of(file);
  const auto digits = file.subspan(kDigitsAt, kZeros.size());
  ESPALIER_CHECK(std::equal(right.begin(), right.end(), digits.begin()),
                 IoError,
                 where,
                 ": damaged or truncated: its checksum is not that of its bytes (crc32 ",
                 right,
                 "). A program that changes a file leaves the metadata '",
                 kChecksumKey,
                 "' and '",
                 kFormatKey,
                 "' out");
  return true;
}

void take_checksum(std::map<std::string, std::string>& metadata,
                   bool checked,
                   const std::string& where) {
  const auto format = metadata.find(std::string(kFormatKey));
  ESPALIER_CHECK(!checked || format == metadata.end() || format->second == kFormat,
                 IoError,
                 where,
                 ": was written by a later version: format ",
                 format == metadata.end() ? std::string() : format->second,
                 ", known is ",
                 kFormat);
  for (const auto& [key, value] : metadata) {
    ESPALIER_CHECK(checked || !is_checksum_key(key),
                   IoError,
                   where,
                   ": damaged: it has the metadata '",
                   key,
                   "' but no checksum at its place. A program that changes a file leaves the "
                   "metadata '",
                   kChecksumKey,
                   "' and '",
                   kFormatKey,
                   "' out");
  }
  std::erase_if(metadata, [](const auto& entry) { return is_checksum_key(entry.first); });
}

bool is_checksum_key(std::string_view key) {
  return key == kChecksumKey || key == kFormatKey;
}

}  // namespace espalier::detail
