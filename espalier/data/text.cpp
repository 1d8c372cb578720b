// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/text.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/data/detail/checks.h>

namespace espalier::data {
namespace {

std::string name_of(uint8_t byte) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  if (byte > 0x20 && byte < 0x7f) return std::string(1, static_cast<char>(byte));
  return {'\\', 'x', kDigits[byte >> 4U], kDigits[byte & 15U]};
}

class Text final : public Dataset {
 public:
  Text(std::string name,
       std::vector<uint8_t> tokens,
       std::vector<std::string> vocabulary,
       int64_t context)
      : name_(std::move(name)),
        tokens_(std::move(tokens)),
        vocabulary_(std::move(vocabulary)),
        context_(context) {}

  std::string name() const override { return name_; }
  int64_t size() const override { return (static_cast<int64_t>(tokens_.size()) - 1) / context_; }
  ImageShape image_shape() const override {
    return {.channels = 1, .height = 1, .width = context_ + 1};
  }
  int64_t context() const override { return context_; }
  const std::vector<std::string>& class_names() const override { return vocabulary_; }
  void read(int64_t index, std::span<uint8_t> tokens) const override {
    detail::check_read(*this, index, tokens);
    std::copy_n(tokens_.begin() + index * context_, context_ + 1, tokens.begin());
  }
  int64_t label(int64_t index) const override {
    detail::check_index(*this, index);
    return tokens_[static_cast<size_t>((index + 1) * context_)];
  }
  std::vector<float> mean() const override { return {0.0F}; }
  std::vector<float> stddev() const override { return {1.0F}; }

 private:
  std::string name_;
  std::vector<uint8_t> tokens_;
  std::vector<std::string> vocabulary_;
  int64_t context_;
};

}  // namespace

std::shared_ptr<const Dataset> open_text(const std::filesystem::path& path,
                                         Split split,
                                         const TextOptions& options) {
  ESPALIER_CHECK(options.context >= 1 && options.context < (int64_t{1} << 30),
                 ValueError,
                 "text: expects a context of at least 1 token, got ",
                 options.context);
  ESPALIER_CHECK(options.test_fraction > 0.0 && options.test_fraction < 1.0,
                 ValueError,
                 "text: expects a test fraction in (0, 1), got ",
                 options.test_fraction);
  std::vector<uint8_t> bytes = read_file(path, "text");
  std::array<int64_t, 256> token = {};
  for (const uint8_t byte : bytes) token[byte] = 1;
  std::vector<std::string> vocabulary;
  for (size_t byte = 0; byte < token.size(); ++byte) {
    if (token[byte] == 0) continue;
    token[byte] = static_cast<int64_t>(vocabulary.size());
    vocabulary.push_back(name_of(static_cast<uint8_t>(byte)));
  }
  const auto all = static_cast<int64_t>(bytes.size());
  const auto test = std::llround(options.test_fraction * static_cast<double>(all));
  const int64_t least = std::min(test, all - test);
  ESPALIER_CHECK(least > options.context,
                 IoError,
                 "text: ",
                 path.string(),
                 " has ",
                 all,
                 " bytes, ",
                 test,
                 " of them for tests; expected more than ",
                 options.context,
                 ", a window, in either part");
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(token[byte]);
  if (split == Split::Train) {
    bytes.resize(static_cast<size_t>(all - test));
  } else {
    bytes.erase(bytes.begin(), bytes.begin() + (all - test));
  }
  return std::make_shared<Text>(
      cat("text:", path.string()), std::move(bytes), std::move(vocabulary), options.context);
}

}  // namespace espalier::data
