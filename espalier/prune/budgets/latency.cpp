// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/budgets/latency.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <vector>

#include <espalier/core/detail/checksum.h>
#include <espalier/core/detail/json.h>
#include <espalier/core/io.h>
#include <espalier/core/parallel.h>
#include <espalier/core/simd.h>
#include <espalier/nn/introspect/samples.h>

namespace espalier::prune {
namespace {

constexpr int kTurns = 9;
/// A turn runs a network so often that it takes at least so long.
constexpr double kTurnSeconds = 0.03;
constexpr int64_t kMaxFileBytes = 16 << 20;

double seconds_of(const nn::InferencePlan& plan, const Tensor& x, Tensor& y, int times) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < times; ++i) plan.run(x, y);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return took.count() / times;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// The masks of a network and the sizes of its parameters (factors have others), as a number.
uint32_t masks_of(nn::Module& model) {
  std::vector<uint8_t> bytes;
  for (const nn::NamedParameter& one : model.named_parameters()) {
    for (const char letter : cat(one.parameter->shape())) {
      bytes.push_back(static_cast<uint8_t>(letter));
    }
    bytes.push_back(one.parameter->masked() ? 1 : 0);
    if (!one.parameter->masked()) continue;
    const Tensor mask = one.parameter->mask();
    bytes.insert(bytes.end(), mask.data<uint8_t>(), mask.data<uint8_t>() + mask.numel());
  }
  return espalier::detail::crc32(bytes);
}

/// Ratios by description, and the file they are kept in.
class Measurements {
 public:
  explicit Measurements(std::filesystem::path file) : file_(std::move(file)) {
    if (file_.empty() || !std::filesystem::exists(file_)) return;
    const std::vector<uint8_t> bytes = read_file(file_, "latencies", kMaxFileBytes);
    const auto json =
        espalier::detail::parse_json<nlohmann::json>(bytes, cat("latencies: ", file_.string()));
    ESPALIER_CHECK(json.is_object(),
                   IoError,
                   "latencies: ",
                   file_.string(),
                   " is not a file of ours: expects a JSON object of ratios");
    for (const auto& [key, value] : json.items()) {
      ESPALIER_CHECK(value.is_number(),
                     IoError,
                     "latencies: ",
                     file_.string(),
                     ": expects a number for ",
                     key);
      known_[key] = value.get<double>();
    }
  }

  std::optional<double> find(const std::string& key) const {
    const auto found = known_.find(key);
    return found == known_.end() ? std::nullopt : std::optional(found->second);
  }

  void keep(const std::string& key, double ratio) {
    known_[key] = ratio;
    if (file_.empty()) return;
    nlohmann::json json = nlohmann::json::object();
    for (const auto& [name, value] : known_) json[name] = value;
    const std::string text = json.dump(1) + "\n";
    write_file(file_, text.data(), static_cast<int64_t>(text.size()));
  }

 private:
  std::filesystem::path file_;
  std::map<std::string, double> known_;
};

class Latency : public Budget {
 public:
  Latency(const nn::Module& dense, const PruneInputs& inputs, int64_t batch, TimeRatio time_ratio)
      : sample_(inputs.input_shape),
        batch_(batch),
        time_ratio_(std::move(time_ratio)),
        measurements_(inputs.measurements),
        dense_network_(dense.clone()) {
    ESPALIER_CHECK(batch_ >= 1,
                   ValueError,
                   "prune: a target of latency needs a batch of at least 1, got ",
                   batch_);
  }

  bool exact() const override { return false; }

  double cost(nn::Module& model) override {
    const std::string key = cat("masks ",
                                masks_of(model),
                                " batch ",
                                batch_,
                                " threads ",
                                num_threads(),
                                " ",
                                simd_target());
    if (const auto known = measurements_.find(key)) return *known;
    cut_channels(model, sample_);
    const double ratio = time_beside_dense(compiled(model));
    measurements_.keep(key, ratio);
    return ratio;
  }

 private:
  nn::InferencePlan compiled(nn::Module& model) const {
    return nn::compile(model, Variable(nn::zero_samples(model, sample_, batch_)));
  }

  double time_beside_dense(const nn::InferencePlan& plan) {
    // Known ratios need no measurement: the dense network is compiled when the first new one does.
    if (!dense_) dense_.emplace(compiled(*dense_network_));
    Tensor x = nn::zero_samples(*dense_network_, sample_, batch_);
    Rng rng(1, "latency");
    fill_normal_(x, rng, 0.0, 1.0);
    return time_ratio_(plan, *dense_, x);
  }

  Shape sample_;
  int64_t batch_;
  TimeRatio time_ratio_;
  Measurements measurements_;
  std::unique_ptr<nn::Module> dense_network_;
  std::optional<nn::InferencePlan> dense_;
};

}  // namespace

double time_in_turns(const nn::InferencePlan& plan,
                     const nn::InferencePlan& dense,
                     const Tensor& x) {
  Tensor y = plan.run(x);
  Tensor of_dense = dense.run(x);
  const double once = std::max(seconds_of(plan, x, y, 1), 1e-6);
  const double once_dense = std::max(seconds_of(dense, x, of_dense, 1), 1e-6);
  const int times = std::max(1, static_cast<int>(kTurnSeconds / once));
  const int times_dense = std::max(1, static_cast<int>(kTurnSeconds / once_dense));
  std::vector<double> ratios;
  for (int turn = 0; turn < kTurns; ++turn) {
    const double took = seconds_of(dense, x, of_dense, times_dense);
    ratios.push_back(seconds_of(plan, x, y, times) / took);
  }
  return median(std::move(ratios));
}

std::unique_ptr<Budget> latency_budget(const nn::Module& dense,
                                       const PruneInputs& inputs,
                                       int64_t batch,
                                       TimeRatio time_ratio) {
  return std::make_unique<Latency>(dense, inputs, batch, std::move(time_ratio));
}

}  // namespace espalier::prune
