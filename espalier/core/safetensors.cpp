// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/safetensors.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <span>

#include <espalier/core/detail/bytes.h>
#include <espalier/core/detail/checksum.h>
#include <espalier/core/detail/json.h>
#include <espalier/core/file_kind.h>
#include <espalier/core/io.h>

namespace espalier {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kMetadata = "__metadata__";
// The limit of the format's reference implementation.
constexpr uint64_t kMostHeaderBytes = 100'000'000;

enum class Convert { Copy, Bool, Half, Bfloat16 };

struct StoredType {
  std::string_view name;
  DType dtype;
  int64_t stored_size;
  Convert convert;
};
constexpr StoredType kStoredTypes[] = {
    {"F32", DType::F32, 4, Convert::Copy},
    {"F64", DType::F64, 8, Convert::Copy},
    {"I32", DType::I32, 4, Convert::Copy},
    {"I64", DType::I64, 8, Convert::Copy},
    {"U8", DType::U8, 1, Convert::Copy},
    {"BOOL", DType::U8, 1, Convert::Bool},
    {"F16", DType::F32, 2, Convert::Half},
    {"BF16", DType::F32, 2, Convert::Bfloat16},
};

std::string_view stored_name(DType dtype) {
  for (const StoredType& type : kStoredTypes) {
    if (type.dtype == dtype && type.convert == Convert::Copy) return type.name;
  }
  throw TypeError(cat("save_safetensors: no stored form of ", name(dtype)));
}

/// What is written of a tensor: bytes, contiguous, in row-major order.
struct Item {
  const std::string* name;
  std::string_view type;
  Shape shape;
  Tensor bytes;
  int64_t item_size;
};

Item item_of(const std::string& name, const Tensor& tensor, bool as_bfloat16) {
  const Tensor plain = tensor.to(Layout::Nchw).contiguous();
  if (!as_bfloat16) {
    const DType dtype = plain.dtype();
    return {&name, stored_name(dtype), plain.shape(), plain, item_size(dtype)};
  }
  Tensor bits = Tensor::empty({2 * plain.numel()}, DType::U8);
  std::transform(plain.data<float>(),
                 plain.data<float>() + plain.numel(),
                 static_cast<uint16_t*>(bits.raw()),
                 detail::float_to_bfloat16);
  return {&name, "BF16", plain.shape(), bits, 2};
}

struct Entry {
  std::string name;
  const StoredType* type = nullptr;  // null: not known
  std::string type_name = {};
  Shape shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

// Reads one file; every failure names the file.
class Parser {
 public:
  Parser(std::span<const uint8_t> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  SafetensorsFile parse() {
    const Json header = parse_header();
    SafetensorsFile out;
    std::vector<Entry> entries;
    for (const auto& [name, value] : header.items()) {
      if (name == kMetadata) {
        out.metadata = parse_metadata(value);
      } else {
        entries.push_back(parse_entry(name, value));
      }
    }
    check_layout(entries);
    for (const Entry& entry : entries) {
      if (entry.type == nullptr) {
        out.unreadable[entry.name] = entry.type_name;
      } else {
        out.tensors[entry.name] = read_tensor(entry);
        if (entry.type->convert == Convert::Bfloat16) out.bfloat16.insert(entry.name);
      }
    }
    return out;
  }

 private:
  template <class... Args>
  void check(bool condition, const Args&... text) const {
    if (!condition) throw IoError(cat("safetensors: ", file_, ": ", text...));
  }

  Json parse_header() {
    const FileKind kind = file_kind(bytes_);
    const bool is_other = kind != FileKind::Unknown && kind != FileKind::Empty;
    check(!is_other || kind == FileKind::Safetensors, "is not a safetensors file", told(kind));
    check(bytes_.size() >= 8,
          "has ",
          bytes_.size(),
          " bytes, shorter than the 8 of the header length: truncated or not a safetensors file");
    const uint64_t length = detail::little_endian(bytes_.first(8));
    check(length <= kMostHeaderBytes,
          "header length ",
          length,
          " is beyond the format's limit of ",
          kMostHeaderBytes,
          ": damaged or not a safetensors file");
    check(length <= bytes_.size() - 8,
          "header of ",
          length,
          " bytes, but only ",
          bytes_.size() - 8,
          " bytes follow: truncated");
    const std::span<const uint8_t> text = bytes_.subspan(8, length);
    check(length > 0 && text[0] == '{', "header does not start with '{': not a safetensors file");
    data_ = bytes_.subspan(8 + length);

    const Json header = detail::parse_json<Json>(
        text, cat("safetensors: ", file_, ": header"), {.depth = 3, .bytes = kMostHeaderBytes});
    check(header.is_object(), "header is not a JSON object");
    return header;
  }

  std::map<std::string, std::string> parse_metadata(const Json& value) const {
    check(value.is_object(), kMetadata, " is not an object");
    std::map<std::string, std::string> out;
    for (const auto& [key, text] : value.items()) {
      check(text.is_string(), kMetadata, " entry '", key, "' is not a text");
      out[key] = text.get<std::string>();
    }
    return out;
  }

  Entry parse_entry(const std::string& name, const Json& value) const {
    check(value.is_object() && value.contains("dtype") && value.contains("shape") &&
              value.contains("data_offsets"),
          "tensor '",
          name,
          "' needs dtype, shape and data_offsets");
    Entry entry;
    entry.name = name;

    const Json& dtype = value.at("dtype");
    check(dtype.is_string(), "tensor '", name, "': dtype is not a text");
    const auto& text = dtype.get_ref<const std::string&>();
    for (const StoredType& type : kStoredTypes) {
      if (type.name == text) entry.type = &type;
    }
    entry.type_name = text;

    const Json& shape = value.at("shape");
    check(shape.is_array() && shape.size() <= static_cast<size_t>(kMaxRank),
          "tensor '",
          name,
          "': shape must be a list of at most ",
          kMaxRank,
          " sizes");
    for (const Json& size : shape) {
      check(size.is_number_unsigned() && size.get<uint64_t>() <= uint64_t{1} << 62,
            "tensor '",
            name,
            "': shape has a size that is no number in range");
      entry.shape.push_back(static_cast<int64_t>(size.get<uint64_t>()));
    }

    const Json& offsets = value.at("data_offsets");
    check(offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() &&
              offsets[1].is_number_unsigned(),
          "tensor '",
          name,
          "': data_offsets must be two numbers");
    entry.begin = offsets[0].get<uint64_t>();
    entry.end = offsets[1].get<uint64_t>();
    check(entry.begin <= entry.end && entry.end <= data_.size(),
          "tensor '",
          name,
          "' lies at bytes ",
          entry.begin,
          " to ",
          entry.end,
          ", but the data has ",
          data_.size(),
          " bytes: truncated or damaged");
    if (entry.type == nullptr) return entry;
    const auto nbytes = detail::checked_nbytes(entry.shape, entry.type->stored_size);
    check(nbytes.has_value(), "tensor '", name, "': shape ", entry.shape, " is absurdly large");
    check(static_cast<uint64_t>(*nbytes) == entry.end - entry.begin,
          "tensor '",
          name,
          "': shape ",
          entry.shape,
          " of ",
          text,
          " needs ",
          *nbytes,
          " bytes, but its offsets span ",
          entry.end - entry.begin);
    return entry;
  }

  // The format allows neither overlaps nor holes, so that nothing can hide in a file.
  void check_layout(std::vector<Entry>& entries) const {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    uint64_t position = 0;
    for (const Entry& entry : entries) {
      check(entry.begin >= position,
            "tensor '",
            entry.name,
            "' overlaps the one before it: it begins at byte ",
            entry.begin,
            ", the other ends at ",
            position);
      check(entry.begin == position,
            "bytes ",
            position,
            " to ",
            entry.begin,
            " before tensor '",
            entry.name,
            "' belong to no tensor");
      position = entry.end;
    }
    check(position == data_.size(),
          data_.size() - position,
          " bytes after the last tensor belong to no tensor");
  }

  Tensor read_tensor(const Entry& entry) const {
    const auto bytes = data_.subspan(entry.begin, entry.end - entry.begin);
    if (entry.type->convert == Convert::Copy) {
      return detail::tensor_from_bytes(entry.shape, entry.type->dtype, bytes);
    }
    Tensor out = Tensor::empty(entry.shape, entry.type->dtype);
    if (entry.type->convert == Convert::Bool) {
      auto* values = out.data<uint8_t>();
      for (size_t i = 0; i < bytes.size(); ++i) values[i] = bytes[i] != 0;
      return out;
    }
    auto* values = out.data<float>();
    for (size_t i = 0; i < bytes.size() / 2; ++i) {
      const auto bits = static_cast<uint16_t>(detail::little_endian(bytes.subspan(2 * i, 2)));
      values[i] = entry.type->convert == Convert::Half ? detail::half_to_float(bits)
                                                       : detail::bfloat16_to_float(bits);
    }
    return out;
  }

  std::span<const uint8_t> bytes_;
  std::span<const uint8_t> data_;
  const std::string& file_;
};

}  // namespace

void check_readable(const SafetensorsFile& file,
                    const std::string& name,
                    const std::string& where) {
  const auto found = file.unreadable.find(name);
  if (found == file.unreadable.end()) return;
  throw IoError(cat(where,
                    ": tensor '",
                    name,
                    "' has element type '",
                    found->second,
                    "', supported are F32 F64 F16 BF16 I32 I64 U8 BOOL. Save it as one of these"));
}

SafetensorsFile parse_safetensors(const std::vector<uint8_t>& bytes, const std::string& name) {
  const std::string where = cat("safetensors: ", name);
  const bool checked = detail::check_checksum(bytes, where);
  SafetensorsFile file = Parser(bytes, name).parse();
  detail::take_checksum(file.metadata, checked, where);
  file.checked = checked;
  return file;
}

SafetensorsFile load_safetensors(const std::filesystem::path& path) {
  return parse_safetensors(read_file(path, "safetensors"), path.string());
}

void save_safetensors(const std::filesystem::path& path, const SafetensorsFile& file) {
  for (const std::string& name : file.bfloat16) {
    const auto found = file.tensors.find(name);
    ESPALIER_CHECK(found != file.tensors.end() && found->second.defined() &&
                       found->second.dtype() == DType::F32,
                   ValueError,
                   "save_safetensors: '",
                   name,
                   "' is to be stored as bfloat16; expected a float32 tensor of that name");
  }
  std::vector<Item> items;
  for (const auto& [name, tensor] : file.tensors) {
    ESPALIER_CHECK(tensor.defined(), ValueError, "save_safetensors: '", name, "' is undefined");
    ESPALIER_CHECK(
        name != kMetadata, ValueError, "save_safetensors: a tensor can't be named ", kMetadata);
    items.push_back(item_of(name, tensor, file.bfloat16.contains(name)));
  }
  // Wide elements first keeps every tensor aligned to its element size for readers that map the
  // file.
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return a.item_size > b.item_size;
  });

  for (const auto& [key, value] : file.metadata) {
    ESPALIER_CHECK(!detail::is_checksum_key(key),
                   ValueError,
                   "save_safetensors: the metadata '",
                   key,
                   "' is set by the writer itself");
  }
  Json header = Json::object();
  int64_t offset = 0;
  for (const Item& item : items) {
    header[*item.name] = {{"dtype", item.type},
                          {"shape", std::vector<int64_t>(item.shape.begin(), item.shape.end())},
                          {"data_offsets", {offset, offset + item.bytes.nbytes()}}};
    offset += item.bytes.nbytes();
  }
  // The members of an object as text, each after a comma.
  const auto members = [](const Json& object) {
    const std::string all = object.dump();
    return object.empty() ? std::string() : "," + all.substr(1, all.size() - 2);
  };
  std::string text(detail::checksum_start());
  try {
    text += members(Json(file.metadata)) + "}" + members(header) + "}";
  } catch (const Json::exception& error) {
    throw ValueError(
        cat("save_safetensors: a name or metadata text is not UTF-8: ", detail::json_words(error)));
  }
  text.append((8 - text.size() % 8) % 8, ' ');

  std::vector<uint8_t> bytes(8 + text.size() + static_cast<size_t>(offset));
  const uint64_t length = text.size();
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, text.data(), text.size());
  uint8_t* out = bytes.data() + 8 + text.size();
  for (const Item& item : items) {
    const Tensor& from = item.bytes;
    if (from.nbytes() == 0) continue;
    std::memcpy(out, from.raw(), static_cast<size_t>(from.nbytes()));
    out += from.nbytes();
  }
  detail::put_checksum(bytes);
  write_file(path, bytes.data(), static_cast<int64_t>(bytes.size()));
}

}  // namespace espalier
