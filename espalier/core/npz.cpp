// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/npz.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>

#include <archive.h>
#include <archive_entry.h>

#include <espalier/core/detail/bytes.h>
#include <espalier/core/io.h>

namespace espalier {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr int64_t kMostHeaderBytes = 1 << 20;

[[noreturn]] void fail(const std::string& file, const std::string& text) {
  throw IoError(cat("npy: ", file, ": ", text));
}

struct Header {
  DType dtype = DType::F32;
  bool fortran = false;
  Shape shape;
  int64_t data_begin = 0;  // byte offset in the file
  int64_t data_bytes = 0;
};

// The header is a Python dict literal, of which numpy writes one form; only that form is accepted:
// {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class DictParser {
 public:
  DictParser(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  void parse(Header& header) {
    bool descr = false;
    bool order = false;
    bool shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr" && !descr) {
        descr = true;
        header.dtype = dtype(quoted());
      } else if (key == "fortran_order" && !order) {
        order = true;
        header.fortran = boolean();
      } else if (key == "shape" && !shape) {
        shape = true;
        header.shape = tuple();
      } else {
        fail(file_, cat("header has an unknown or repeated key '", key, "'"));
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (!text_.empty()) fail(file_, "header has text after its end");
    if (!descr || !order || !shape) fail(file_, "header lacks descr, fortran_order or shape");
  }

 private:
  void skip_space() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n')) text_.remove_prefix(1);
  }
  bool accept(char c) {
    skip_space();
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(file_, cat("header: expected '", c, "': damaged"));
  }
  std::string_view quoted() {
    skip_space();
    if (text_.empty() || (text_[0] != '\'' && text_[0] != '"')) {
      fail(file_, "header: expected a quoted text (structured types are not supported)");
    }
    const size_t end = text_.find(text_[0], 1);
    if (end == std::string_view::npos) fail(file_, "header: quote is not closed");
    const std::string_view out = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return out;
  }
  bool boolean() {
    skip_space();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.starts_with(word)) {
        text_.remove_prefix(word.size());
        return value;
      }
    }
    fail(file_, "header: expected True or False");
  }
  int64_t number() {
    skip_space();
    int64_t value = 0;
    size_t digits = 0;
    while (digits < text_.size() && text_[digits] >= '0' && text_[digits] <= '9') {
      if (digits == 18) fail(file_, "header: shape has an absurdly large size");
      value = value * 10 + (text_[digits++] - '0');
    }
    if (digits == 0) fail(file_, "header: expected a size");
    text_.remove_prefix(digits);
    return value;
  }
  Shape tuple() {
    Shape out;
    expect('(');
    while (!accept(')')) {
      if (out.rank() == kMaxRank) fail(file_, cat("has more than ", kMaxRank, " dimensions"));
      out.push_back(number());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return out;
  }
  DType dtype(std::string_view text) const {
    if (text == "<f4") return DType::F32;
    if (text == "<f8") return DType::F64;
    if (text == "<i4") return DType::I32;
    if (text == "<i8") return DType::I64;
    if (text == "|u1" || text == "|b1") return DType::U8;
    fail(file_, cat("element type '", text, "', supported are <f4 <f8 <i4 <i8 |u1 |b1"));
  }

  std::string_view text_;
  const std::string& file_;
};

// The header of an array, or nothing while `bytes` is too short to hold all of it.
std::optional<Header> parse_npy_header(std::span<const uint8_t> bytes, const std::string& file) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const size_t known = std::min(text.size(), kMagic.size());
  if (text.substr(0, known) != kMagic.substr(0, known)) fail(file, "wrong magic: not a npy file");
  if (bytes.size() < 8) return std::nullopt;
  const int major = bytes[6];
  if (major < 1 || major > 3) fail(file, cat("version ", major, ", supported are 1 to 3"));
  const size_t length_bytes = major == 1 ? 2 : 4;
  if (bytes.size() < 8 + length_bytes) return std::nullopt;
  const auto length = static_cast<int64_t>(detail::little_endian(bytes.subspan(8, length_bytes)));
  if (length > kMostHeaderBytes) fail(file, cat("header of ", length, " bytes: absurdly long"));
  Header header;
  header.data_begin = static_cast<int64_t>(8 + length_bytes) + length;
  if (static_cast<int64_t>(bytes.size()) < header.data_begin) return std::nullopt;
  DictParser(text.substr(8 + length_bytes, static_cast<size_t>(length)), file).parse(header);
  const auto nbytes = detail::checked_nbytes(header.shape, item_size(header.dtype));
  if (!nbytes) fail(file, cat("shape ", header.shape, " is absurdly large"));
  header.data_bytes = *nbytes;
  return header;
}

Tensor parse_npy(std::span<const uint8_t> bytes, const std::string& file) {
  const std::optional<Header> header = parse_npy_header(bytes, file);
  if (!header) fail(file, cat("ends inside its header, after ", bytes.size(), " bytes: truncated"));
  const auto data = bytes.subspan(static_cast<size_t>(header->data_begin));
  if (static_cast<int64_t>(data.size()) != header->data_bytes) {
    fail(file,
         cat("shape ",
             header->shape,
             " of ",
             name(header->dtype),
             " needs ",
             header->data_bytes,
             " bytes, the file has ",
             data.size(),
             ": truncated or damaged"));
  }
  if (!header->fortran) return detail::tensor_from_bytes(header->shape, header->dtype, data);
  Shape reversed;
  std::vector<int> order;
  for (int d = header->shape.rank() - 1; d >= 0; --d) {
    reversed.push_back(header->shape[d]);
    order.push_back(d);
  }
  return detail::tensor_from_bytes(reversed, header->dtype, data).permute(order).contiguous();
}

std::string npy_header(const Tensor& tensor) {
  std::string_view descr;
  switch (tensor.dtype()) {
    case DType::F32:
      descr = "<f4";
      break;
    case DType::F64:
      descr = "<f8";
      break;
    case DType::I32:
      descr = "<i4";
      break;
    case DType::I64:
      descr = "<i8";
      break;
    case DType::U8:
      descr = "|u1";
      break;
  }
  std::string dict = cat("{'descr': '", descr, "', 'fortran_order': False, 'shape': (");
  for (int d = 0; d < tensor.rank(); ++d) dict += cat(d == 0 ? "" : " ", tensor.size(d), ",");
  dict += "), }";
  // Magic, version and length are 10 bytes; the data starts at a multiple of 64.
  dict.append((64 - (10 + dict.size() + 1) % 64) % 64, ' ');
  dict += '\n';
  std::string out(kMagic);
  out += '\x01';
  out += '\x00';
  out += static_cast<char>(dict.size() & 0xff);
  out += static_cast<char>(dict.size() >> 8);
  return out + dict;
}

struct CloseReader {
  void operator()(archive* a) const { archive_read_free(a); }
};
struct CloseWriter {
  void operator()(archive* a) const { archive_write_free(a); }
};
struct FreeEntry {
  void operator()(archive_entry* e) const { archive_entry_free(e); }
};

std::string reason(archive* a) {
  const char* text = archive_error_string(a);
  return text == nullptr ? "unknown error" : text;
}

// One archive member. Its size is taken from the array's own header, so a member that inflates
// without end is stopped.
Tensor read_member(archive* zip, const std::string& file) {
  std::vector<uint8_t> bytes;
  std::vector<uint8_t> chunk(1 << 16);
  std::optional<Header> header;
  for (;;) {
    const la_ssize_t got = archive_read_data(zip, chunk.data(), chunk.size());
    if (got < 0) fail(file, cat("can't be unpacked: ", reason(zip)));
    if (got == 0) break;
    bytes.insert(bytes.end(), chunk.begin(), chunk.begin() + got);
    if (!header) header = parse_npy_header(bytes, file);
    const auto size = static_cast<int64_t>(bytes.size());
    if (header ? size > header->data_begin + header->data_bytes : size > 2 * kMostHeaderBytes) {
      fail(file, "has more bytes than its header says");
    }
  }
  return parse_npy(bytes, file);
}

la_ssize_t append_bytes(archive*, void* target, const void* data, size_t count) {
  const auto* first = static_cast<const uint8_t*>(data);
  auto* out = static_cast<std::vector<uint8_t>*>(target);
  out->insert(out->end(), first, first + count);
  return static_cast<la_ssize_t>(count);
}

}  // namespace

Tensor load_npy(const std::filesystem::path& path) {
  return parse_npy(read_file(path, "npy"), path.string());
}

std::map<std::string, Tensor> load_npz(const std::filesystem::path& path) {
  const std::vector<uint8_t> bytes = read_file(path, "npz");
  const std::unique_ptr<archive, CloseReader> zip(archive_read_new());
  archive_read_support_format_zip(zip.get());
  const auto check = [&](bool ok) {
    if (!ok) throw IoError(cat("npz: ", path.string(), ": ", reason(zip.get())));
  };
  check(archive_read_open_memory(zip.get(), bytes.data(), bytes.size()) == ARCHIVE_OK);
  std::map<std::string, Tensor> out;
  try {
    for (;;) {
      archive_entry* entry = nullptr;
      const int status = archive_read_next_header(zip.get(), &entry);
      if (status == ARCHIVE_EOF) break;
      // A warning is a name that the current locale can't show; its UTF-8 form is there all the
      // same.
      check(status == ARCHIVE_OK || status == ARCHIVE_WARN);
      const char* member = archive_entry_pathname_utf8(entry);
      if (member == nullptr) member = archive_entry_pathname(entry);
      if (member == nullptr) throw IoError(cat("npz: ", path.string(), ": a member has no name"));
      std::string key = member;
      const std::string file = cat(path.string(), ":", key);
      if (!key.ends_with(".npy")) fail(file, "is not a .npy member");
      key.resize(key.size() - 4);
      if (!out.emplace(key, read_member(zip.get(), file)).second) fail(file, "is there twice");
    }
  } catch (const std::bad_alloc&) {
    throw IoError(cat("npz: ", path.string(), ": arrays are larger than fits in memory"));
  }
  return out;
}

void save_npz(const std::filesystem::path& path, const std::map<std::string, Tensor>& arrays) {
  std::vector<uint8_t> bytes;
  const std::unique_ptr<archive, CloseWriter> zip(archive_write_new());
  const auto check = [&](int status) {
    if (status < ARCHIVE_OK) {
      throw IoError(cat("npz: can't write ", path.string(), ": ", reason(zip.get())));
    }
  };
  check(archive_write_set_format_zip(zip.get()));
  check(archive_write_zip_set_compression_store(zip.get()));
  check(archive_write_set_bytes_per_block(zip.get(), 0));
  check(archive_write_open(zip.get(), &bytes, nullptr, append_bytes, nullptr));
  for (const auto& [name, array] : arrays) {
    ESPALIER_CHECK(array.defined(), ValueError, "save_npz: '", name, "' is undefined");
    const Tensor plain = array.to(Layout::Nchw).contiguous();
    const std::string header = npy_header(plain);
    const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), (name + ".npy").c_str());
    archive_entry_set_size(entry.get(), static_cast<int64_t>(header.size()) + plain.nbytes());
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    // A fixed date (1980-01-01, the first that zip knows): equal arrays give equal files.
    archive_entry_set_mtime(entry.get(), 315532800, 0);
    check(archive_write_header(zip.get(), entry.get()));
    check(static_cast<int>(archive_write_data(zip.get(), header.data(), header.size()) >= 0) - 1);
    if (plain.nbytes() > 0) {
      const la_ssize_t put =
          archive_write_data(zip.get(), plain.raw(), static_cast<size_t>(plain.nbytes()));
      ESPALIER_CHECK(put == plain.nbytes(),
                     IoError,
                     "npz: can't write array '",
                     name,
                     "' of ",
                     path.string(),
                     ": ",
                     reason(zip.get()));
    }
  }
  check(archive_write_close(zip.get()));
  write_file(path, bytes.data(), static_cast<int64_t>(bytes.size()));
}

}  // namespace espalier
