// SPDX-License-Identifier: Apache-2.0
// Whether many samples run sixteen in the lanes or one by one in planes: whichever takes less time
// by counted products and bytes. A sample in planes is a sixteenth of what sixteen in the lanes
// are: at 224 x 224 it stays in the caches, where they would go by memory. In the lanes weights are
// read once for sixteen samples, and no plane is too small for a vector.
#include <espalier/nn/plan/program.h>

namespace espalier::nn {
namespace {

using plan::Step;
using plan::StepKind;

// Multiply-accumulates and bytes of one thread in a second, measured on Zen 4 with AVX-512
// (ResNet-50 at 224 x 224, dense, 90 and 95 %). Only their ratios matter, and these change little.
constexpr double kPeak = 58e9;
constexpr double kCacheBytes = 40e9;   // values that a cache holds
constexpr double kMemoryBytes = 12e9;  // values that none does
constexpr double kWeightBytes = 15e9;  // weights that are read for each sample anew
// A step whose values are larger than this goes by memory.
constexpr double kCache = 8 << 20;

/// The share of the peak at which a kernel runs from the caches, by the word it has for itself.
struct Share {
  std::string_view format;
  double lanes, planes;
};
constexpr Share kShares[] = {
    {"dense", 0.85, 0.8}, {"winograd", 2.5, 1.6}, {"blocks", 0.85, 0.8}, {"code", 0.6, 0.65}};
constexpr Share kOthers{"", 0.57, 0.4};

const Share& share_of(std::string_view format) {
  for (const Share& share : kShares) {
    if (share.format == format) return share;
  }
  return kOthers;
}

/// Of what a step reads and writes of one sample.
double value_bytes(const plan::Graph& graph, const Step& step) {
  int64_t values = graph.value(step.output).shape.numel();
  for (const int input : step.inputs) values += graph.value(input).shape.numel();
  return static_cast<double>(values) * sizeof(float);
}

double move_seconds(double bytes, int64_t samples) {
  const bool held = bytes * static_cast<double>(samples) <= kCache;
  return bytes / (held ? kCacheBytes : kMemoryBytes);
}

}  // namespace

double InferencePlan::Program::lanes_seconds(size_t step) const {
  const plan::Kernel& kernel = *kernels[step];
  return static_cast<double>(kernel.macs()) / (kPeak * share_of(kernel.format()).lanes) +
         move_seconds(value_bytes(graph, graph.steps[step]), kLanes);
}

double InferencePlan::Program::planes_seconds(size_t step) const {
  const plan::PlanesKernel& kernel = *planes_kernels[step];
  const Shape& out = graph.value(graph.steps[step].output).shape;
  const int64_t positions =
      out.rank() == 3 ? out[1] * out[2] : kLanes;  // a linear layer has others
  const int64_t vectors = (positions + kLanes - 1) / kLanes;
  const double filled = static_cast<double>(positions) / static_cast<double>(vectors * kLanes);
  return static_cast<double>(kernel.macs()) / (kPeak * share_of(kernel.format()).planes * filled) +
         move_seconds(value_bytes(graph, graph.steps[step]), 1) +
         static_cast<double>(kernel.nbytes()) / kWeightBytes;
}

}  // namespace espalier::nn
