// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/machine.h>

#include <array>
#include <cmath>
#include <fstream>
#include <vector>

#include <cblas.h>
#include <nlohmann/json.hpp>

#include <espalier/core/detail/blas_call.h>
#include <espalier/core/parallel.h>
#include <espalier/core/random.h>
#include <espalier/core/simd.h>
#include <espalier/core/version.h>
#include <espalier/experiments/hand_over.h>

namespace espalier::experiments {
namespace {

// Far above rounding of the largest product below, far below a wrong kernel.
constexpr double kBlasTolerance = 1e-5;

}  // namespace

std::string version() {
  return kVersion;
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

nlohmann::ordered_json machine_json() {
  return {{"processor", processor_name()},
          {"threads", num_threads()},
          {"simd", simd_target()},
          {"blas", openblas_get_config()},
          {"compiler", __VERSION__}};
}

nlohmann::ordered_json measured_machine_json() {
  nlohmann::ordered_json out = machine_json();
  nlohmann::ordered_json& told = out["hand_over_ns"];
  if (const auto time = measure_hand_over()) {
    told = {{"nearest", time->nearest}, {"farthest", time->farthest}};
  }
  return out;
}

BlasCheck check_blas() {
  BlasCheck check{.core = openblas_get_corename(), .version = openblas_get_config()};
  Rng rng(1, "blas-check");
  for (const auto& [m, n, k] : {std::array<int, 3>{1, 1, 1},
                                {3, 5, 7},
                                {16, 16, 16},
                                {33, 65, 129},
                                {100, 1, 50},
                                {1, 100, 300},
                                {127, 63, 255}}) {
    const auto draw = [&](int count) {
      std::vector<float> values(static_cast<size_t>(count));
      for (float& value : values) value = rng.uniform() - 0.5f;
      return values;
    };
    const std::vector<float> a = draw(m * k);
    const std::vector<float> b = draw(k * n);
    std::vector<float> c(static_cast<size_t>(m * n), std::nanf(""));
    const detail::BlasCall guarded;
    cblas_sgemm(CblasRowMajor,
                CblasNoTrans,
                CblasNoTrans,
                m,
                n,
                k,
                1.0f,
                a.data(),
                k,
                b.data(),
                n,
                0.0f,
                c.data(),
                n);
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j < n; ++j) {
        double sum = 0.0;
        double scale = 0.0;
        for (int l = 0; l < k; ++l) {
          const double product =
              double{a[static_cast<size_t>(i * k + l)]} * double{b[static_cast<size_t>(l * n + j)]};
          sum += product;
          scale += std::abs(product);
        }
        const double error = std::abs(c[static_cast<size_t>(i * n + j)] - sum) / scale;
        // Written so that a NaN counts as the worst.
        if (!(error <= check.worst)) check.worst = error;
      }
    }
  }
  check.ok = check.worst < kBlasTolerance;
  return check;
}

}  // namespace espalier::experiments
