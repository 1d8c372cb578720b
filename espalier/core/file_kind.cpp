// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/file_kind.h>

#include <algorithm>
#include <array>
#include <cctype>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <espalier/core/error.h>

namespace espalier {
namespace {

using namespace std::string_view_literals;

// A file of this kind has these bytes at this place.
struct Mark {
  size_t at;
  std::string_view bytes;
  FileKind kind;
};
constexpr Mark kMarks[] = {
    {0, "version https://git-lfs"sv, FileKind::GitLfsPointer},
    {0, "\x1F\x8B"sv, FileKind::Gzip},
    {0, "BZh"sv, FileKind::Bzip2},
    {0,
     "\xFD"
     "7zXZ\0"sv,
     FileKind::Xz},
    {0, "\x28\xB5\x2F\xFD"sv, FileKind::Zstd},
    {257, "ustar"sv, FileKind::Tar},
    {0, "\x89HDF\r\n\x1A\n"sv, FileKind::Hdf5},
    {512, "\x89HDF\r\n\x1A\n"sv, FileKind::Hdf5},
    {124, "\x00\x01IM"sv, FileKind::Matlab},
    {124, "\x01\x00MI"sv, FileKind::Matlab},
    {0, "MATLAB 7.3 MAT-file"sv, FileKind::Hdf5},
    {0, "\x93NUMPY"sv, FileKind::Npy},
    {0, "PAR1"sv, FileKind::Parquet},
    {0, "\x89PNG\r\n\x1A\n"sv, FileKind::Png},
    {0, "\xFF\xD8\xFF"sv, FileKind::Jpeg},
    {0, "GIF8"sv, FileKind::Gif},
    {0, "II*\0"sv, FileKind::Tiff},
    {0, "MM\0*"sv, FileKind::Tiff},
    {8, "WEBP"sv, FileKind::WebP},
    {4, "ftyphei"sv, FileKind::Heif},
    {4, "ftypmif"sv, FileKind::Heif},
    {4, "ftypavi"sv, FileKind::Heif},
    {0, "%PDF-"sv, FileKind::Pdf},
    {0, "\0\0\x08\x01\0"sv, FileKind::Idx},
    {0, "\0\0\x08\x03\0"sv, FileKind::Idx},
};

bool has(std::string_view text, size_t at, std::string_view part) {
  return text.size() >= at + part.size() && text.substr(at, part.size()) == part;
}

// The name of the first file in a zip tells what wrote it: torch.save begins with NAME/data.pkl,
// NumPy with an .npy.
FileKind kind_of_zip(std::string_view text) {
  constexpr size_t kNameLength = 26, kName = 30;
  if (text.size() < kName) return FileKind::Zip;
  const size_t length = static_cast<uint8_t>(text[kNameLength]) |
                        size_t{static_cast<uint8_t>(text[kNameLength + 1])} << 8;
  const std::string_view name = text.substr(kName, length);
  if (name.ends_with("/data.pkl") || name.ends_with("/version")) return FileKind::TorchZip;
  if (name.ends_with(".npy")) return FileKind::Npz;
  return FileKind::Zip;
}

// Protocol 0 is text: a mark and a dictionary or a list, or a class by name.
bool is_text_pickle(std::string_view text) {
  if (has(text, 0, "(dp") || has(text, 0, "(lp")) return true;
  if (text.empty() || text[0] != 'c') return false;
  const std::string_view first = text.substr(0, text.find('\n'));
  return first.size() < text.size() && first.size() > 1 && std::ranges::all_of(first, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
         });
}

bool is_ascii_text(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= ' ' && c <= '~') || c == '\t' || c == '\r' || c == '\n'; });
}

// Pickles of protocol 2 and up: the protocol, then what CIFAR's Python version (a dictionary, a
// frame) or an old torch.save (a long number) begin with.
bool is_pickle(std::string_view text) {
  if (text.size() < 3 || text[0] != '\x80' || text[1] < 2 || text[1] > 5) return false;
  return "}]([\x8A\x95\x8C"
         "cXK\x4E"sv.find(text[2]) != std::string_view::npos;
}

bool is_bmp(std::string_view text) {
  // Its two letters alone begin many a text; the reserved bytes behind the size are zero.
  return has(text, 0, "BM") && has(text, 6, "\0\0\0\0"sv);
}

// Lower-case text from the first character that is no blank.
std::string beginning(std::string_view text) {
  if (has(text, 0, "\xEF\xBB\xBF")) text.remove_prefix(3);
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  std::string out(text.substr(first, 16));
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return out;
}

FileKind kind_of_text(std::string_view text) {
  const std::string begin = beginning(text);
  for (const std::string_view tag :
       {"<!doctype html", "<!--", "<html", "<head", "<?xml", "<body"}) {
    if (begin.starts_with(tag)) return FileKind::Html;
  }
  if (begin.starts_with("{")) return FileKind::Json;
  return is_ascii_text(text) ? FileKind::Text : FileKind::Unknown;
}

}  // namespace

FileKind file_kind(std::span<const uint8_t> first_bytes) {
  if (first_bytes.empty()) return FileKind::Empty;
  const std::string_view text(reinterpret_cast<const char*>(first_bytes.data()),
                              first_bytes.size());
  // A header's length is 64 bits, and no header comes near 2^32 bytes. First, for that length may
  // look like the mark of another kind.
  if (has(text, 4, "\0\0\0\0{"sv)) return FileKind::Safetensors;
  if (has(text, 0, "PK\x03\x04")) return kind_of_zip(text);
  for (const Mark& mark : kMarks) {
    if (has(text, mark.at, mark.bytes)) return mark.kind;
  }
  if (is_pickle(text) || is_text_pickle(text)) return FileKind::Pickle;
  if (is_bmp(text)) return FileKind::Bmp;
  return kind_of_text(text);
}

FileKind file_kind(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return FileKind::Unknown;
  std::array<uint8_t, kFileKindBytes> bytes;
  struct stat info {};
  ssize_t got = -1;
  if (::fstat(file, &info) == 0 && S_ISREG(info.st_mode)) {
    got = ::read(file, bytes.data(), bytes.size());
  }
  ::close(file);
  return got < 0 ? FileKind::Unknown : file_kind(std::span(bytes.data(), static_cast<size_t>(got)));
}

std::string_view name(FileKind kind) {
  switch (kind) {
    case FileKind::Unknown:
      return "";
    case FileKind::Empty:
      return "an empty file";
    case FileKind::GitLfsPointer:
      return "a Git LFS pointer";
    case FileKind::Html:
      return "a web page";
    case FileKind::Json:
      return "JSON";
    case FileKind::Text:
      return "text";
    case FileKind::Safetensors:
      return "a safetensors file";
    case FileKind::TorchZip:
      return "a file of torch.save";
    case FileKind::Pickle:
      return "a Python pickle";
    case FileKind::Npz:
      return "an .npz file of NumPy";
    case FileKind::Npy:
      return "an .npy file of NumPy";
    case FileKind::Zip:
      return "a zip archive";
    case FileKind::Gzip:
      return "packed by gzip";
    case FileKind::Bzip2:
      return "packed by bzip2";
    case FileKind::Xz:
      return "packed by xz";
    case FileKind::Zstd:
      return "packed by zstd";
    case FileKind::Tar:
      return "a tar archive";
    case FileKind::Hdf5:
      return "an HDF5 file";
    case FileKind::Matlab:
      return "a MATLAB v5 file";
    case FileKind::Idx:
      return "an idx file, as MNIST's";
    case FileKind::Parquet:
      return "a Parquet table";
    case FileKind::Png:
      return "a PNG picture";
    case FileKind::Jpeg:
      return "a JPEG picture";
    case FileKind::Bmp:
      return "a BMP picture";
    case FileKind::WebP:
      return "a WebP picture";
    case FileKind::Gif:
      return "a GIF picture";
    case FileKind::Tiff:
      return "a TIFF picture";
    case FileKind::Heif:
      return "a HEIC or AVIF picture";
    case FileKind::Pdf:
      return "a PDF document";
  }
  return "";
}

std::string told(FileKind kind) {
  if (kind == FileKind::Unknown) return {};
  const auto hint = [kind]() -> std::string_view {
    switch (kind) {
      case FileKind::GitLfsPointer:
        return ", not the file that it stands for; `git lfs pull` in the place where it came from "
               "fetches that";
      case FileKind::Text:
      case FileKind::Html:
        return ", perhaps an error that was saved under this name; download the file again and "
               "look at what comes";
      case FileKind::TorchZip:
        return " (.pt, .pth), a pickle, which can run any program and is not read. In Python: "
               "safetensors.torch.save_file(torch.load(FILE, weights_only=True), NEW_FILE); where "
               "it holds more than weights, the part under 'state_dict' or 'model'";
      case FileKind::Pickle:
        return ", which can run any program and is not read. Weights of an old torch.save become "
               "safetensors in Python: safetensors.torch.save_file(torch.load(FILE, "
               "weights_only=True), NEW_FILE); where it holds more than weights, the part under "
               "'state_dict' or 'model'";
      case FileKind::Npz:
        return "; in Python: safetensors.numpy.save_file(dict(numpy.load(FILE)), NEW_FILE)";
      case FileKind::Json:
        return "; where it is an index of several files (.index.json), give one of these, or all "
               "as one file";
      case FileKind::Zip:
      case FileKind::Gzip:
      case FileKind::Bzip2:
      case FileKind::Xz:
      case FileKind::Zstd:
      case FileKind::Tar:
        return "; unpack it first";
      default:
        return "";
    }
  };
  return cat(". It is ", name(kind), hint());
}

}  // namespace espalier
