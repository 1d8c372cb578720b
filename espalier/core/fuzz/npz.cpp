// SPDX-License-Identifier: Apache-2.0
// Fuzz target: .npz and .npy. The first byte says what the others are: 0 an archive, 1 an array as
// a file, 2 an array that is put into an archive, so that changes get past the archive's checksum.
#include <archive.h>
#include <archive_entry.h>

#include <espalier/core/error.h>
#include <espalier/core/fuzz/target.h>
#include <espalier/core/npz.h>

namespace espalier::fuzz {
namespace {

Bytes zip_of(const Bytes& member) {
  Bytes out(member.size() + 1024);
  size_t used = 0;
  archive* zip = archive_write_new();
  archive_entry* entry = archive_entry_new();
  archive_write_set_format_zip(zip);
  archive_write_set_bytes_per_block(zip, 0);
  archive_write_open_memory(zip, out.data(), out.size(), &used);
  archive_entry_set_pathname(entry, "a.npy");
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_size(entry, static_cast<int64_t>(member.size()));
  archive_write_header(zip, entry);
  archive_write_data(zip, member.data(), member.size());
  archive_entry_free(entry);
  archive_write_free(zip);
  out.resize(used);
  return out;
}

Bytes tagged(uint8_t tag, const Bytes& bytes) {
  Bytes out = {tag};
  out.insert(out.end(), bytes.begin(), bytes.end());
  return out;
}

Bytes npy(const std::string& dict, size_t data_bytes) {
  Bytes out = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, static_cast<uint8_t>(dict.size()), 0};
  out.insert(out.end(), dict.begin(), dict.end());
  for (size_t i = 0; i < data_bytes; ++i) out.push_back(static_cast<uint8_t>(i));
  return out;
}

void saw_all(const std::map<std::string, Tensor>& arrays) {
  for (const auto& [name, array] : arrays) {
    saw(name);
    saw(array.raw(), static_cast<size_t>(array.nbytes()));
  }
}

}  // namespace

void read(const Bytes& input) {
  if (input.empty()) throw IoError("empty");
  const Bytes body(input.begin() + 1, input.end());
  if (input[0] == 0) {
    saw_all(load_npz(put("input.npz", body)));
  } else if (input[0] == 1) {
    saw_all({{"", load_npy(put("input.npy", body))}});
  } else {
    saw_all(load_npz(put("input.npz", zip_of(body))));
  }
}

std::vector<Bytes> seeds() {
  const std::filesystem::path path = folder() / "seed.npz";
  save_npz(path,
           {{"weights", Tensor::arange(6).reshape({2, 3})},
            {"labels", Tensor::from<int64_t>({3}, {1, 2, 3})}});
  const Bytes array = npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", 24);
  const Bytes scalar = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (), }\n", 1);
  return {tagged(0, get(path)), tagged(0, zip_of(array)), tagged(1, array), tagged(2, scalar)};
}

}  // namespace espalier::fuzz
