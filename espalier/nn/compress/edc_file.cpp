// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/compress/edc_file.h>

#include <algorithm>
#include <array>
#include <set>
#include <span>

#include <espalier/core/detail/checksum.h>
#include <espalier/core/finite.h>
#include <espalier/core/io.h>
#include <espalier/nn/compress/bit_stream.h>
#include <espalier/nn/compress/coded_weight.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/models/detail/described_network.h>

namespace espalier::nn::compress {
namespace {

constexpr std::array<uint8_t, 8> kMagic = {0x89, 'E', 'D', 'C', '\r', '\n', 0x1a, '\n'};
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 24;
constexpr int64_t kMostElements = int64_t{1} << 31;

enum class Coding : uint8_t { Plain = 0, Masked = 1, Coded = 2, Whole = 3 };

class Encoder {
 public:
  Encoder(const EdcOptions& options, EdcReport& report) : options_(options), report_(report) {
    check_bits(options.values, "encode_edc: values");
    check_bits(options.gaps, "encode_edc: gaps");
  }

  void coded(const std::string& name, const Parameter& weight) {
    const Tensor& value = start(name, weight.value.value(), Coding::Coded);
    KeptValues kept{.positions = kept_positions(weight), .values = {}};
    for (const int64_t at : kept.positions) kept.values.push_back(value.data<float>()[at]);
    const size_t before = out_.bytes().size();
    out_.number(static_cast<uint8_t>(weight.masked() ? 1 : 0));
    const CodedSize size = write_weight(
        kept, options_.values.of(weight.shape()), options_.gaps.of(weight.shape()), out_);
    const auto entries = static_cast<double>(std::max<int64_t>(1, size.entries));
    report_.layers.push_back({.name = name,
                              .weights = value.numel(),
                              .kept = size.kept,
                              .entries = size.entries,
                              .clusters = size.clusters,
                              .value_bits = static_cast<double>(size.value_bits) / entries,
                              .gap_bits = static_cast<double>(size.gap_bits) / entries,
                              .bytes = static_cast<int64_t>(out_.bytes().size() - before)});
  }

  void as_it_is(const std::string& name, const Tensor& tensor, const Tensor& mask) {
    if (tensor.dtype() == DType::I64 && !mask.defined()) {
      whole_numbers(name, tensor);
      return;
    }
    const Tensor& value = start(name, tensor, mask.defined() ? Coding::Masked : Coding::Plain);
    const size_t before = out_.bytes().size();
    const std::vector<float> values = value.to_vector<float>();
    if (mask.defined()) {
      const std::vector<uint8_t> bits = mask.to_vector<uint8_t>();
      BitWriter packed;
      for (const uint8_t bit : bits) packed.put(bit, 1);
      out_.block(packed.finish());
      for (size_t i = 0; i < values.size(); ++i) {
        if (bits[i] != 0) out_.number(values[i]);
      }
    } else {
      for (const float v : values) out_.number(v);
    }
    report_.plain_bytes += static_cast<int64_t>(out_.bytes().size() - before);
  }

  ByteWriter& out() { return out_; }

 private:
  void whole_numbers(const std::string& name, const Tensor& tensor) {
    start(name, tensor, Coding::Whole);
    for (const int64_t number : tensor.to_vector<int64_t>()) out_.number(number);
    report_.plain_bytes += tensor.nbytes();
  }

  const Tensor& start(const std::string& name, const Tensor& value, Coding coding) {
    const DType expected = coding == Coding::Whole ? DType::I64 : DType::F32;
    ESPALIER_CHECK(value.dtype() == expected && value.is_contiguous(),
                   TypeError,
                   "encode_edc: expects contiguous float32 tensors, and int64 without masks; got ",
                   value,
                   " as ",
                   name);
    report_.dense_bytes += value.nbytes();
    out_.text(name);
    out_.number(static_cast<uint8_t>(value.rank()));
    for (const int64_t size : value.shape()) out_.varint(static_cast<uint64_t>(size));
    out_.number(static_cast<uint8_t>(coding));
    return value;
  }

  const EdcOptions& options_;
  EdcReport& report_;
  ByteWriter out_;
};

std::vector<float> read_masked(ByteReader& in, std::vector<uint8_t>& mask) {
  BitReader bits(in.block((mask.size() + 7) / 8));
  std::vector<float> values(mask.size(), 0.0F);
  for (uint8_t& bit : mask) bit = static_cast<uint8_t>(bits.bit());
  for (size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] != 0) values[i] = in.number<float>();
  }
  return values;
}

// The next tensor, and its mask if it has one, into `state`. `network` holds the network's own: a
// file can not make us allocate more than the network that it describes.
void read_tensor(ByteReader& file,
                 const std::map<std::string, Tensor>& network,
                 std::map<std::string, Tensor>& state) {
  const std::string name = file.text();
  const std::string where = cat(file.where(), ": tensor '", name, "'");
  const auto known = network.find(name);
  ESPALIER_CHECK(known != network.end(), IoError, where, " is not the described network's");
  ESPALIER_CHECK(!state.contains(name), IoError, where, " is there twice");
  const auto rank = file.number<uint8_t>();
  Shape shape;
  ESPALIER_CHECK(rank <= kMaxRank, IoError, where, " has ", static_cast<int>(rank), " dimensions");
  for (int d = 0; d < rank; ++d) shape.push_back(file.size("a tensor's size", kMostElements));
  ESPALIER_CHECK(shape == known->second.shape(),
                 IoError,
                 where,
                 " has shape ",
                 shape,
                 ", the described network's is ",
                 known->second.shape());
  const auto numel = static_cast<size_t>(shape.numel());
  const auto coding = static_cast<Coding>(file.number<uint8_t>());
  ESPALIER_CHECK((coding == Coding::Whole) == (known->second.dtype() == DType::I64),
                 IoError,
                 where,
                 " has the coding ",
                 static_cast<int>(coding),
                 ", the described network's is ",
                 espalier::name(known->second.dtype()));
  if (coding == Coding::Whole) {
    std::vector<int64_t> numbers(numel);
    for (int64_t& number : numbers) number = file.number<int64_t>();
    state.emplace(name, Tensor::from<int64_t>(shape, numbers));
    return;
  }
  std::vector<float> values(numel, 0.0F);
  std::vector<uint8_t> mask;
  if (coding == Coding::Plain) {
    for (float& v : values) v = file.number<float>();
  } else if (coding == Coding::Masked) {
    mask.resize(numel);
    values = read_masked(file, mask);
  } else if (coding == Coding::Coded) {
    if (file.number<uint8_t>() != 0) mask.resize(numel, 0);
    KeptValues kept;
    try {
      kept = read_weight(file, shape.numel());
    } catch (const IoError& error) {
      throw IoError(cat("tensor '", name, "' of ", error.what()));
    }
    for (size_t i = 0; i < kept.values.size(); ++i) {
      const auto at = static_cast<size_t>(kept.positions[i]);
      values[at] = kept.values[i];
      if (!mask.empty()) mask[at] = 1;
    }
  } else {
    throw IoError(cat(where, " has the unknown coding ", static_cast<int>(coding)));
  }
  state.emplace(name, Tensor::from<float>(shape, values));
  if (!mask.empty()) state.emplace(name + ".mask", Tensor::from<uint8_t>(shape, mask));
}

void check_header(std::span<const uint8_t> bytes, const std::string& where) {
  ESPALIER_CHECK(
      bytes.size() >= kMagic.size() && std::equal(kMagic.begin(), kMagic.end(), bytes.begin()),
      IoError,
      where,
      ": does not start as an .edc file does");
  ESPALIER_CHECK(bytes.size() >= kHeaderBytes,
                 IoError,
                 where,
                 ": truncated: ",
                 bytes.size(),
                 " bytes do not hold the header");
  ByteReader header(bytes.subspan(kMagic.size()), where);
  const auto version = header.number<uint32_t>();
  const auto crc = header.number<uint32_t>();
  const auto length = header.number<uint64_t>();
  ESPALIER_CHECK(
      version == kVersion, IoError, where, ": is of version ", version, ", known is ", kVersion);
  ESPALIER_CHECK(bytes.size() >= length,
                 IoError,
                 where,
                 ": truncated: ",
                 bytes.size(),
                 " of ",
                 length,
                 " bytes are there");
  ESPALIER_CHECK(bytes.size() == length,
                 IoError,
                 where,
                 ": has ",
                 bytes.size(),
                 " bytes, ",
                 length,
                 " were written");
  ESPALIER_CHECK(espalier::detail::crc32(bytes.subspan(kHeaderBytes)) == crc,
                 IoError,
                 where,
                 ": damaged: its checksum is not that of its bytes");
}

}  // namespace

std::vector<uint8_t> encode_edc(std::string_view name,
                                const ModelOptions& options,
                                Module& module,
                                const EdcOptions& edc,
                                EdcReport* report) {
  check_can_be_read(module.state_dict(), "encode_edc");
  EdcReport own;
  Encoder encoder(edc, own);
  ByteWriter& out = encoder.out();
  std::set<std::string> coded;
  for (const NamedParameter& p : prunable_parameters(module)) coded.insert(p.name);
  const std::vector<NamedParameter> parameters = module.named_parameters();
  const std::vector<NamedBuffer> buffers = module.named_buffers();
  out.text(describe_model(name, options, module));
  out.varint(parameters.size() + buffers.size());
  for (const NamedParameter& p : parameters) {
    if (coded.contains(p.name)) {
      encoder.coded(p.name, *p.parameter);
    } else {
      encoder.as_it_is(p.name, p.parameter->value.value(), p.parameter->mask());
    }
  }
  for (const NamedBuffer& b : buffers) encoder.as_it_is(b.name, *b.buffer, {});

  ByteWriter file;
  file.block(kMagic);
  file.number(kVersion);
  file.number(espalier::detail::crc32(out.bytes()));
  file.number(static_cast<uint64_t>(kHeaderBytes + out.bytes().size()));
  file.block(out.bytes());
  own.file_bytes = static_cast<int64_t>(file.bytes().size());
  if (report != nullptr) *report = std::move(own);
  return std::move(file.bytes());
}

SavedModel decode_edc(const std::vector<uint8_t>& bytes, const std::string& where) {
  check_header(bytes, where);
  ByteReader file(std::span<const uint8_t>(bytes).subspan(kHeaderBytes), where);
  SavedModel saved =
      nn::detail::described_network(file.text(), where, static_cast<int64_t>(bytes.size()));
  std::map<std::string, Tensor> network;
  for (const NamedParameter& p : saved.module->named_parameters()) {
    network.emplace(p.name, p.parameter->value.value());
  }
  for (const NamedBuffer& b : saved.module->named_buffers()) network.emplace(b.name, *b.buffer);
  std::map<std::string, Tensor> state;
  const int64_t tensors = file.size("the number of tensors", static_cast<int64_t>(network.size()));
  for (int64_t i = 0; i < tensors; ++i) read_tensor(file, network, state);
  ESPALIER_CHECK(file.left() == 0, IoError, where, ": goes on after its last tensor");
  check_finite(state, where);
  try {
    saved.module->load_state_dict(state);
  } catch (const Error& error) {
    throw IoError(cat(where, ": ", error.what()));
  }
  return saved;
}

EdcReport save_edc(const std::filesystem::path& path,
                   std::string_view name,
                   const ModelOptions& options,
                   Module& module,
                   const EdcOptions& edc) {
  EdcReport report;
  const std::vector<uint8_t> bytes = encode_edc(name, options, module, edc, &report);
  write_file(path, bytes.data(), static_cast<int64_t>(bytes.size()));
  return report;
}

SavedModel load_edc(const std::filesystem::path& path) {
  return decode_edc(read_file(path, "compressed network"), path.string());
}

bool is_edc(const std::filesystem::path& path) {
  const std::vector<uint8_t> start = read_start(path, "weights", kMagic.size());
  return std::equal(start.begin(), start.end(), kMagic.begin(), kMagic.end());
}

}  // namespace espalier::nn::compress
