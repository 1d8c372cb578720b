// SPDX-License-Identifier: Apache-2.0
/// CRC-32 of bytes, and the one that every safetensors file of ours carries. Not a public
/// interface. Such a file begins, after the header's length, with
///   {"__metadata__":{"espalier.checksum":"crc32:01234567","espalier.format":"1"
/// The digits are the CRC-32 of the whole file with these eight as '0': a changed byte is found
/// wherever it is. `espalier.format` is there for the case that the other key is what was damaged:
/// a file that has one of them without the checksum at its place is damaged, not a foreign one.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace espalier::detail {

/// CRC-32 (IEEE 802.3, zlib's).
uint32_t crc32(std::span<const uint8_t> bytes);

/// The header's text up to the metadata of others: checksum (digits as '0') and format.
std::string_view checksum_start();
/// Writes the digits into a file that begins with `checksum_start()`; leaves others as they are.
void put_checksum(std::span<uint8_t> file);
/// True for a file with a checksum at its place. Throws IoError naming `where` when it is not that
/// of the bytes. A file that is shorter than its header says is not looked at: the parser names it.
bool check_checksum(std::span<const uint8_t> file, const std::string& where);
/// Takes both keys out of the metadata that was read; `checked` is what check_checksum said. Throws
/// IoError naming `where` for keys without a checksum at its place, and for a later format.
void take_checksum(std::map<std::string, std::string>& metadata,
                   bool checked,
                   const std::string& where);
/// True for a key that only the writer of files sets.
bool is_checksum_key(std::string_view key);

}  // namespace espalier::detail
