// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/chooser.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include <espalier/core/detail/json.h>
#include <espalier/core/io.h>
#include <espalier/core/random.h>
#include <espalier/core/simd.h>
#include <espalier/sparse/kernels/block_stream.h>
#include <espalier/sparse/kernels/conv2d.h>
#include <espalier/sparse/kernels/conv2d_plan.h>

namespace espalier::sparse {
namespace {

/// Up to which part of all products the sparse kernels were faster, on planes of 2x2 to 32x32
/// (Zen 4, AVX-512), by what the dense layer would run by.
struct Limits {
  double unstructured;
  double blocks, blocks_backward;  ///< of output channels
};
constexpr Limits kOverDirect{0.5, 0.85, 0.7};      // 1.15 to 1.6 times, 1.86 times, at 0.5
constexpr Limits kOverSmallTiles{0.35, 0.5, 0.5};  // F(2x2, 3x3) gains 1.4 to 1.9
constexpr Limits kOverLargeTiles{0.22, 0.3, 0.3};  // F(4x4, 3x3) gains 2 to 3 on wide layers
constexpr int64_t kWideLayer = 32;
constexpr int kMeasuredRuns = 3;
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

/// The part of all products that a sparse kernel does, and up to which part it is chosen.
struct Share {
  double executed, highest;
  bool sparse() const { return executed <= highest; }
};

Share share_of_products(const Conv2dShape& shape, const Support& support, Pass pass) {
  const int tile = winograd_tile(
      shape, pass == Pass::Forward ? Conv2dPass::Forward : Conv2dPass::BackwardWeight);
  const bool wide = std::min(shape.c, shape.k) >= kWideLayer;
  const Limits& limits = tile == 0           ? kOverDirect
                         : tile == 4 && wide ? kOverLargeTiles
                                             : kOverSmallTiles;
  if (detail::runs_in_blocks(support)) {
    const Share blocks{support.density() / detail::block_form(support)->fill,
                       pass == Pass::Forward ? limits.blocks : limits.blocks_backward};
    if (blocks.sparse()) return blocks;
  }
  return {support.density(), limits.unstructured};
}

// Densities that share a measurement: two digits. Also what a reader wants to see of one.
double rounded(double density) {
  const double per_unit = density < 0.1 ? 1000.0 : 100.0;
  return std::round(density * per_unit) / per_unit;
}

/// Random operands of a convolution; y stands for dy as well.
struct Operands {
  Tensor x, w, y, dx, dw;
  explicit Operands(const Conv2dShape& s)
      : x(random({s.n, s.c, s.h, s.w}, Layout::Nchw16n, 1)),
        w(random({s.k, s.c / s.options.groups, s.r, s.s}, Layout::Nchw, 2)),
        y(random({s.n, s.k, s.p, s.q}, Layout::Nchw16n, 3)),
        dx(Tensor::empty_like(x)),
        dw(Tensor::empty_like(w)) {}

  /// A few numbers again and again: to draw all of them would take longer than the kernels.
  static Tensor random(const Shape& shape, Layout layout, uint64_t seed) {
    Tensor drawn = Tensor::empty({1009});
    Rng rng(seed, "kernel measurement");
    fill_uniform_(drawn, rng, -1.0, 1.0);
    Tensor t = Tensor::empty(shape, DType::F32, layout);
    float* data = t.data<float>();
    const std::vector<float> values = drawn.to_vector<float>();
    const auto count = static_cast<size_t>(t.physical_numel());
    for (size_t i = 0; i < count; i += values.size()) {
      std::copy_n(values.begin(), std::min(values.size(), count - i), data + i);
    }
    return t;
  }
};

template <class Work>
double best_milliseconds(Work work) {
  double best = std::numeric_limits<double>::max();
  for (int run = 0; run <= kMeasuredRuns; ++run) {  // the first warms up
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (run > 0) best = std::min(best, took.count());
  }
  return best;
}

}  // namespace

void set_chooser_options(const ChooserOptions& options) {
  measurements().open(options.file);
  options_in_use() = options;
}

const ChooserOptions& chooser_options() {
  return options_in_use();
}

bool has_sparse_conv2d(const Conv2dShape& shape) {
  return detail::missing_conv2d(shape, DType::F32, Layout::Nchw16n).empty();
}

double measure_sparse_conv2d(const Conv2dShape& shape, const Support& support, Pass pass) {
  Operands o(shape);
  Tensor dw = Tensor::empty({support.nnz()});
  return best_milliseconds([&] {
    if (pass == Pass::Forward) {
      conv2d_forward(shape, o.x, o.w, support, {}, o.y);
    } else {
      conv2d_backward(shape, o.x, o.y, o.w, support, o.dx, dw);
    }
  });
}

double measure_dense_conv2d(const Conv2dShape& shape, Pass pass) {
  Operands o(shape);
  return best_milliseconds([&] {
    if (pass == Pass::Forward) {
      espalier::conv2d_forward(shape, o.x, o.w, {}, o.y);
    } else {
      espalier::conv2d_backward_data(shape, o.y, o.w, o.dx);
      espalier::conv2d_backward_weight(shape, o.x, o.y, o.dw);
    }
  });
}

KernelChoice choose_conv2d(
    const Conv2dShape& shape, DType dtype, Layout layout, const Support& support, Pass pass) {
  std::string missing = detail::missing_conv2d(shape, dtype, layout);
  if (!missing.empty()) return {false, std::move(missing)};
  if (!options_in_use().measure) {
    const auto [executed, highest] = share_of_products(shape, support, pass);
    const bool sparse = executed <= highest;
    return {sparse,
            cat("density ",
                std::round(executed * 1e4) / 1e4,
                sparse ? " is at most " : " is above ",
                highest,
                sparse ? "" : ", where dense is about as fast")};
  }
  const double density = support.density();
  const std::string key = cat(pass == Pass::Forward ? "forward " : "backward ",
                              describe(shape),
                              " density ",
                              rounded(density),
                              detail::runs_in_blocks(support) ? " in blocks " : " ",
                              simd_target(),
                              conv2d_algorithm() == Conv2dAlgorithm::Direct ? " direct" : "");
  const KernelTimes times = measurements().get(key, [&] {
    return KernelTimes{measure_sparse_conv2d(shape, support, pass),
                       measure_dense_conv2d(shape, pass)};
  });
  const bool sparse = times.sparse < times.dense;
  return {sparse,
          cat("measured ",
              times.sparse,
              " ms sparse, ",
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
  if (!options_in_use().measure && share_of_products(shape, support, pass).sparse() &&
      detail::missing_conv2d(shape, dtype, layout).empty()) {
    return true;
  }
  const KernelChoice choice = choose_conv2d(shape, dtype, layout, support, pass);
  if (!choice.sparse) check_fallback(choice, support, cat(op, ": ", describe(shape)));
  return choice.sparse;
}

}  // namespace espalier::sparse
