// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/simd.h>

#include <array>
#include <cstdlib>
#include <mutex>

#include <hwy/highway.h>

#include <espalier/core/error.h>

namespace espalier {
namespace {

struct Target {
  std::string_view name;
  int64_t mask;
};
constexpr std::array<Target, 5> kTargets{{{"avx512", HWY_AVX3},
                                          {"avx2", HWY_AVX2},
                                          {"sse4", HWY_SSE4},
                                          {"ssse3", HWY_SSSE3},
                                          {"scalar", HWY_SCALAR}}};

std::string_view current;
std::once_flag once;

void choose(std::string_view name) {
  hwy::SetSupportedTargetsForTest(0);
  const int64_t available = hwy::SupportedTargets() & HWY_TARGETS;
  std::string known;
  for (const Target& target : kTargets) {
    if ((available & target.mask) == 0) continue;
    if (name.empty() || name == target.name) {
      hwy::SetSupportedTargetsForTest(target.mask);
      hwy::GetChosenTarget().Update(target.mask);
      current = target.name;
      return;
    }
    known += cat(known.empty() ? "" : ", ", target.name);
  }
  throw ValueError(
      cat("simd: expects one of ", known, " (ESPALIER_SIMD or set_simd_target), got '", name, "'"));
}

}  // namespace

std::string_view simd_target() {
  std::call_once(once, [] {
    const char* wanted = std::getenv("ESPALIER_SIMD");
    choose(wanted == nullptr ? "" : wanted);
  });
  return current;
}

std::vector<std::string> simd_targets() {
  simd_target();
  const int64_t chosen = hwy::SupportedTargets();
  hwy::SetSupportedTargetsForTest(0);
  const int64_t available = hwy::SupportedTargets() & HWY_TARGETS;
  hwy::SetSupportedTargetsForTest(chosen);
  std::vector<std::string> names;
  for (const Target& target : kTargets) {
    if ((available & target.mask) != 0) names.emplace_back(target.name);
  }
  return names;
}

void set_simd_target(std::string_view name) {
  simd_target();
  choose(name);
}

}  // namespace espalier
