// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/choice/chooser.h>

#include <cmath>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include <espalier/core/detail/json.h>
#include <espalier/core/io.h>
#include <espalier/core/simd.h>
#include <espalier/sparse/forms/conv2d.h>
#include <espalier/sparse/forms/form.h>

namespace espalier::sparse {
namespace {

using detail::KernelForm;

constexpr int64_t kMaxFileBytes = 64 << 20;

/// Measured times by description, and the file they are kept in.
class Measurements {
 public:
  void open(const std::filesystem::path& file) {
    const std::lock_guard lock(mutex_);
    std::map<std::string, KernelTimes> times;
    if (!file.empty() && std::filesystem::exists(file)) times = read(file);
    times_ = std::move(times);
    file_ = file;
  }

  template <class Measure>
  KernelTimes get(const std::string& key, Measure measure) {
    const std::lock_guard lock(mutex_);
    const auto found = times_.find(key);
    if (found != times_.end()) return found->second;
    const KernelTimes times = measure();
    times_.emplace(key, times);
    if (!file_.empty()) write();
    return times;
  }

 private:
  static std::map<std::string, KernelTimes> read(const std::filesystem::path& file) {
    const std::vector<uint8_t> bytes = read_file(file, "kernel times", kMaxFileBytes);
    const auto json =
        espalier::detail::parse_json<nlohmann::json>(bytes, cat("kernel times: ", file.string()));
    std::map<std::string, KernelTimes> out;
    const auto bad = [&] {
      return IoError(cat("kernel times: ",
                         file.string(),
                         " is not a file of ours: expects a JSON object of pairs of milliseconds"));
    };
    if (!json.is_object()) throw bad();
    for (const auto& [key, pair] : json.items()) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number() || !pair[1].is_number()) {
        throw bad();
      }
      out[key] = {pair[0].get<double>(), pair[1].get<double>()};
    }
    return out;
  }

  void write() const {
    nlohmann::json json = nlohmann::json::object();
    for (const auto& [key, times] : times_) json[key] = {times.sparse, times.dense};
    const std::string text = json.dump(1) + "\n";
    write_file(file_, text.data(), static_cast<int64_t>(text.size()));
  }

  std::mutex mutex_;
  std::map<std::string, KernelTimes> times_;
  std::filesystem::path file_;
};

Measurements& measurements() {
  static Measurements instance;
  return instance;
}

ChooserOptions& options_in_use() {
  static ChooserOptions options;
  return options;
}

thread_local bool dry_run = false;

std::string describe(const Conv2dShape& s) {
  const Conv2dOptions& o = s.options;
  return cat("x ",
             Shape{s.n, s.c, s.h, s.w},
             " weight ",
             Shape{s.k, s.c, s.r, s.s},
             " stride ",
             o.stride.h,
             "x",
             o.stride.w,
             " padding ",
             o.padding.h,
             "x",
             o.padding.w,
             " dilation ",
             o.dilation.h,
             "x",
             o.dilation.w);
}

/// A form that applies and pays, or null. The last of the list first: it is asked for every layer
/// of every step, and simple forms know a support at once.
const KernelForm* paying_form(const Conv2dShape& shape, const Support& support, Pass pass) {
  const auto forms = detail::kernel_forms();
  for (auto form = forms.rbegin(); form != forms.rend(); ++form) {
    if ((*form)->has(pass) && detail::cost_of(**form, shape, support, pass).pays() &&
        (*form)->applies(support)) {
      return *form;
    }
  }
  return nullptr;
}

std::string told(const KernelForm& form, const detail::FormCost& cost, const Support& support) {
  const auto rounded = [](double part) { return std::round(part * 1e4) / 1e4; };
  const bool zeros = rounded(cost.products) != rounded(support.density());
  return cat(form.facts(support),
             zeros ? ": density with zeros " : ": density ",
             rounded(cost.products),
             cost.pays() ? " is at most " : " is above ",
             cost.limit);
}

/// By the rule. The reason is that of the form that would run; where it does not pay, also that of
/// single weights, which may.
KernelChoice ruled(const Conv2dShape& shape, const Support& support, Pass pass) {
  const bool sparse = paying_form(shape, support, pass) != nullptr;
  const KernelForm& form = detail::form_for(support, pass);
  const KernelForm& simplest = *detail::kernel_forms().back();
  const detail::FormCost cost = detail::cost_of(form, shape, support, pass);
  const detail::FormCost other = detail::cost_of(simplest, shape, support, pass);
  const bool differ = cost.products != other.products || cost.limit != other.limit;
  return {sparse,
          cat(told(form, cost, support),
              !cost.pays() && differ ? cat("; ", told(simplest, other, support)) : "",
              sparse ? "" : ", where dense is about as fast")};
}

// Densities that share a measurement: two digits. Also what a reader wants to see of one.
double rounded(double density) {
  const double per_unit = density < 0.1 ? 1000.0 : 100.0;
  return std::round(density * per_unit) / per_unit;
}

}  // namespace

void set_chooser_options(const ChooserOptions& options) {
  measurements().open(options.file);
  options_in_use() = options;
}

const ChooserOptions& chooser_options() {
  return options_in_use();
}

KernelChoice choose_conv2d(
    const Conv2dShape& shape, DType dtype, Layout layout, const Support& support, Pass pass) {
  std::string missing = detail::missing_conv2d(shape, dtype, layout);
  if (!missing.empty()) return {false, std::move(missing)};
  if (!options_in_use().measure) return ruled(shape, support, pass);
  const double density = support.density();
  const KernelForm& form = detail::form_for(support, pass);
  const std::string key = cat(pass == Pass::Forward ? "forward " : "backward ",
                              describe(shape),
                              " density ",
                              rounded(density),
                              " as ",
                              form.name,
                              " ",
                              simd_target(),
                              conv2d_algorithm() == Conv2dAlgorithm::Direct ? " direct" : "");
  const KernelTimes times =
      measurements().get(key, [&] { return measure_conv2d(shape, &support, pass); });
  const bool sparse = times.sparse < times.dense;
  return {sparse,
          cat("measured ",
              times.sparse,
              " ms as ",
              form.facts(support),
              ", ",
              times.dense,
              " ms dense at density ",
              rounded(density)),
          times};
}

void check_fallback(const KernelChoice& choice, const Support& support, std::string_view what) {
  const bool nothing_removed = support.nnz() == support.numel();
  ESPALIER_CHECK(choice.sparse || nothing_removed || !options_in_use().require_sparse || dry_run,
                 ValueError,
                 what,
                 " at density ",
                 rounded(support.density()),
                 " would run densely although a sparse kernel is required: ",
                 choice.reason);
}

DryRunScope::DryRunScope() : outer_(std::exchange(dry_run, true)) {}
DryRunScope::~DryRunScope() {
  dry_run = outer_;
}

bool takes_sparse_conv2d(const Conv2dShape& shape,
                         DType dtype,
                         Layout layout,
                         const Support& support,
                         Pass pass,
                         std::string_view op) {
  // Called for every layer of every step: by the rule, no reason is written that nobody reads.
  if (!options_in_use().measure && paying_form(shape, support, pass) != nullptr &&
      detail::missing_conv2d(shape, dtype, layout).empty()) {
    return true;
  }
  const KernelChoice choice = choose_conv2d(shape, dtype, layout, support, pass);
  if (!choice.sparse) check_fallback(choice, support, cat(op, ": ", describe(shape)));
  return choice.sparse;
}

}  // namespace espalier::sparse
