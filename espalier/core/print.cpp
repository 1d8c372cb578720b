// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/print.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <ostream>
#include <vector>

namespace espalier {
namespace {

constexpr const char* kFront = "tensor(";

// Holds every element of every type.
using Number = long double;

// In any locale.
std::string digits(Number value, std::chars_format format, int precision) {
  // Up to 309 digits before the point.
  std::string text(static_cast<size_t>(400 + precision), '\0');
  char* const end = text.data() + text.size();
  text.resize(static_cast<size_t>(std::to_chars(text.data(), end, value, format, precision).ptr -
                                  text.data()));
  return text;
}

// How all shown numbers of a tensor are written. What decides are those that are neither 0 nor
// infinite nor NaN, as with PyTorch, where NaN is not made as wide as the others.
class NumberStyle {
 public:
  NumberStyle(const std::vector<Number>& numbers, bool floating, const PrintOptions& options)
      : floating_(floating), precision_(options.precision) {
    std::vector<Number> deciding;
    std::ranges::copy_if(numbers, std::back_inserter(deciding), [&](Number number) {
      return !floating || (std::isfinite(number) && number != 0);
    });
    Number smallest = std::numeric_limits<Number>::infinity();
    Number largest = 0.0;
    for (const Number number : deciding) {
      smallest = std::min(smallest, std::abs(number));
      largest = std::max(largest, std::abs(number));
      whole_ = whole_ && std::trunc(number) == number;
    }
    scientific_ = !deciding.empty() &&
                  (largest / smallest > 1000.0L || largest > 1e8L || (!whole_ && smallest < 1e-4L));
    for (const Number number : deciding) width_ = std::max(width_, text(number).size());
  }

  size_t width() const { return width_; }
  std::string padded(Number number) const {
    std::string out = text(number);
    if (out.size() < width_) out.insert(0, width_ - out.size(), ' ');
    return out;
  }

 private:
  std::string text(Number number) const {
    if (std::isnan(number)) return "nan";
    if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
    if (!floating_) return digits(number, std::chars_format::fixed, 0);
    if (scientific_) return digits(number, std::chars_format::scientific, precision_);
    if (whole_) return digits(number, std::chars_format::fixed, 0) + ".";
    return digits(number, std::chars_format::fixed, precision_);
  }

  bool floating_;
  int precision_;
  bool whole_ = true;
  bool scientific_ = false;
  size_t width_ = 0;
};

class Printer {
 public:
  Printer(const Tensor& tensor, const PrintOptions& options)
      : shape_(tensor.shape()),
        options_(options),
        edges_(tensor.numel() > options.threshold),
        numbers_(shown(tensor)),
        style_(numbers_, is_floating(tensor.dtype()), options) {}

  std::string text() {
    next_ = 0;
    return part(0, std::string_view(kFront).size());
  }

 private:
  // Indices of dimension `d` that are shown; -1 for those left out.
  std::vector<int64_t> places(int d) const {
    std::vector<int64_t> out;
    const int64_t size = shape_[d];
    const bool cut = edges_ && size > 2 * options_.edge;
    for (int64_t i = 0; i < size; ++i) {
      if (cut && i == options_.edge) {
        out.push_back(-1);
        i = size - options_.edge;
      }
      out.push_back(i);
    }
    return out;
  }

  // The elements that are shown, in order: large tensors are copied by their edges alone.
  std::vector<Number> shown(Tensor tensor) const {
    tensor = tensor.to(Layout::Nchw);
    std::vector<Number> out;
    collect(tensor, 0, out);
    return out;
  }
  void collect(const Tensor& tensor, int d, std::vector<Number>& out) const {
    if (d == shape_.rank()) {
      out.push_back(dispatch(tensor.dtype(), [&](auto zero) {
        return static_cast<Number>(*tensor.data<decltype(zero)>());
      }));
      return;
    }
    for (const int64_t i : places(d)) {
      if (i < 0) continue;
      collect(tensor.slice(d, i, i + 1), d + 1, out);
    }
  }

  std::string part(int d, size_t indent) {
    if (d == shape_.rank()) return style_.padded(numbers_[next_++]);
    return d + 1 == shape_.rank() ? row(d, indent) : block(d, indent);
  }

  std::string row(int d, size_t indent) {
    const auto element = static_cast<int64_t>(style_.width()) + 2;
    const int64_t room = options_.line_width - static_cast<int64_t>(indent);
    const int64_t in_line = std::max<int64_t>(1, room / element);
    std::string out = "[";
    int64_t count = 0;
    for (const int64_t i : places(d)) {
      if (count > 0) {
        out += ",";
        out += count % in_line == 0 ? "\n" + std::string(indent + 1, ' ') : " ";
      }
      // PyTorch puts a space before its dots.
      out += i < 0 ? " ..." : style_.padded(numbers_[next_++]);
      ++count;
    }
    return out + "]";
  }

  std::string block(int d, size_t indent) {
    const auto lines = static_cast<size_t>(shape_.rank() - d - 1);
    const std::string between = "," + std::string(lines, '\n') + std::string(indent + 1, ' ');
    std::string out = "[";
    bool first = true;
    for (const int64_t i : places(d)) {
      if (!first) out += between;
      first = false;
      out += i < 0 ? "..." : part(d + 1, indent + 1);
    }
    return out + "]";
  }

  Shape shape_;
  PrintOptions options_;
  bool edges_;
  std::vector<Number> numbers_;
  NumberStyle style_;
  size_t next_ = 0;
};

}  // namespace

std::string to_text(const Tensor& tensor, const PrintOptions& options) {
  if (!tensor.defined()) return "undefined tensor";
  std::string out = kFront;
  if (tensor.numel() > 0) {
    out += Printer(tensor, options).text();
  } else {
    out += "[]";
    for (int d = 0; tensor.rank() > 1 && d < tensor.rank(); ++d) {
      out += cat(d == 0 ? ", size=(" : ", ", tensor.size(d), d + 1 == tensor.rank() ? ")" : "");
    }
  }
  if (tensor.dtype() != DType::F32) out += cat(", dtype=", name(tensor.dtype()));
  if (tensor.layout() != Layout::Nchw) out += cat(", layout=", name(tensor.layout()));
  return out + ")";
}

std::ostream& operator<<(std::ostream& stream, const Tensor& tensor) {
  return stream << to_text(tensor);
}

}  // namespace espalier
