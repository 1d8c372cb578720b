// SPDX-License-Identifier: Apache-2.0
/// The `.edc` file: a whole network after Deep Compression, which rebuilds itself. Weights of
/// convolution and linear layers are coded (coded_weight.h), everything else is there as it is.
///
/// Bytes, little endian:
///   0   8  magic: 0x89 E D C \r \n 0x1a \n (text transfers damage it visibly)
///   8   u32 version, 1
///   12  u32 CRC-32 (IEEE 802.3) of all bytes from 24 on
///   16  u64 length of the file
///   24  text: the network's description (JSON, nn/models/registry.h); varint length first
///       varint number of tensors, then for each:
///         text name, u8 rank, varint sizes, u8 coding:
///           0 plain    float32, row-major
///           1 masked   the mask, a bit each, filled up to a byte; float32 of the kept elements
///           2 coded    u8: 1 if the weight has a mask (then of the kept positions), else 0;
///                      then coded_weight.h
///           3 whole    int64, row-major: what a network counts (open channels of a gate); readers
///                      from before gates refuse it
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <espalier/nn/compress/weight_sharing.h>
#include <espalier/nn/models/registry.h>

namespace espalier::nn::compress {

/// How weights are coded.
struct EdcOptions {
  SharingBits values = {.conv = 8, .fc = 5};  ///< log2 of the most different values a weight has
  SharingBits gaps = {.conv = 8, .fc = 5};    ///< bits of a distance between kept positions
};

/// What became of one coded weight.
struct EdcLayer {
  std::string name;         ///< of the weight
  int64_t weights = 0;      ///< elements
  int64_t kept = 0;         ///< that exist
  int64_t entries = 0;      ///< kept ones and fillers
  int64_t clusters = 0;     ///< different values
  double value_bits = 0.0;  ///< mean bits of an entry's value after Huffman coding
  double gap_bits = 0.0;    ///< mean bits of an entry's position
  int64_t bytes = 0;        ///< in the file, with code book and code lengths
};

/// What became of a network.
struct EdcReport {
  std::vector<EdcLayer> layers;  ///< coded weights, in the order of the parameters
  int64_t dense_bytes = 0;       ///< all parameters and buffers in memory
  int64_t plain_bytes = 0;       ///< of what is not coded: biases, norms, gates
  int64_t file_bytes = 0;        ///< the whole file
  /// Dense bytes for each byte of the file.
  double ratio() const {
    return file_bytes == 0 ? 0.0
                           : static_cast<double>(dense_bytes) / static_cast<double>(file_bytes);
  }
};

/// A network's file. `module` was built by `make_model(name, options)` and possibly shrunk; it is
/// not changed. A weight with at most 2^bits different values (after sharing in training) is stored
/// exactly. `report` may be null. Throws ValueError for bits out of 1..16 and values that are not
/// finite, TypeError for parameters that are not float32 and buffers that are neither that nor
/// int64.
std::vector<uint8_t> encode_edc(std::string_view name,
                                const ModelOptions& options,
                                Module& module,
                                const EdcOptions& edc,
                                EdcReport* report);
/// The network of such a file, with masks. `where` stands in errors. Throws IoError for bytes that
/// are no such file, are cut short, damaged, or promise what they do not hold.
SavedModel decode_edc(const std::vector<uint8_t>& bytes, const std::string& where);

/// `encode_edc` to a file, written atomically. Throws IoError too.
EdcReport save_edc(const std::filesystem::path& path,
                   std::string_view name,
                   const ModelOptions& options,
                   Module& module,
                   const EdcOptions& edc);
/// Reads and rebuilds. Throws as decode_edc.
SavedModel load_edc(const std::filesystem::path& path);
/// True for a file that starts as an `.edc` file does. Throws IoError as read_file.
bool is_edc(const std::filesystem::path& path);

}  // namespace espalier::nn::compress
