// SPDX-License-Identifier: Apache-2.0
// Chapter 1 of the course (docs/01_tensors.md): tensors are handles, and the two layouts.
#include <numeric>

#include "facts.h"

using namespace espalier;

namespace {

void handles_and_views(course::Facts& facts) {
  std::puts("A tensor is a handle to a block of memory");
  Tensor a = Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  facts.check(a.at({1, 2}) == 6.0, "a (2,3) is filled row by row: a[1,2] is 6");

  Tensor same = a;
  Tensor copy = a.clone();
  same.fill_(0.0);
  facts.check(a.at({1, 2}) == 0.0, "a copied handle sees the same memory");
  facts.check(copy.at({1, 2}) == 6.0, "clone() has memory of its own");

  const Tensor turned = copy.transpose(0, 1);
  facts.check(turned.shares_storage(copy), "a transposed tensor is a view: nothing was moved");
  facts.check(copy.strides() == Shape{3, 1} && turned.strides() == Shape{1, 3},
              "only the strides changed, from (3,1) to (1,3)");
  facts.check(turned.at({2, 1}) == 6.0, "so that turned[2,1] is what was at [1,2]");
}

void sixteen_lanes(course::Facts& facts) {
  std::puts("Nchw16n: sixteen samples ride together");
  // 20 samples of 3 channels; element (n,c) is 3n + c.
  const Tensor x = Tensor::arange(60).to(DType::F32).reshape({20, 3});
  const Tensor lanes = x.to(Layout::Nchw16n);
  facts.check(lanes.shape() == x.shape(), "the logical shape stays (20,3)");
  facts.check(lanes.at({19, 2}) == 59.0, "and an element is asked for as before");

  const Tensor memory = lanes.physical();
  facts.check(memory.shape() == Shape{2, 3, 16}, "in memory: 2 blocks, 3 channels, 16 lanes");
  facts.check(memory.at({1, 2, 3}) == 59.0, "sample 19 is lane 3 of block 1, as 19 = 16 + 3");
  facts.check(memory.at({1, 2, 4}) == 0.0, "lane 4 of block 1 would be sample 20: it is zero");

  const std::vector<double> all = memory.to_vector<double>();
  const double sum = std::accumulate(all.begin(), all.end(), 0.0);
  facts.check(sum == 59.0 * 60.0 / 2.0, "so a sum over whole vectors is right without a mask");
}

void one_weight_meets_sixteen_samples(course::Facts& facts) {
  std::puts("Why: one weight, sixteen products");
  const Tensor x = Tensor::arange(60).to(DType::F32).reshape({20, 3}).to(Layout::Nchw16n);
  Tensor y = Tensor::zeros({20, 1}, DType::F32, Layout::Nchw16n);
  // One output y = 2 x[1], whose weights for the channels 0 and 2 were pruned: nothing is done
  // for them, and the inner loop is over neighbours in memory.
  const float weight = 2.0f;
  const int64_t channel = 1;
  const float* from = x.data<float>();
  float* to = y.data<float>();
  for (int64_t block = 0; block < lane_blocks(20); ++block) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      to[block * kLanes + lane] += weight * from[(block * 3 + channel) * kLanes + lane];
    }
  }
  facts.check(y.at({0, 0}) == 2.0 && y.at({19, 0}) == 2.0 * 58.0, "every sample has y = 2 x[1]");
  facts.check(y.physical().at({1, 0, 4}) == 0.0, "and the empty lanes are still zero");
}

}  // namespace

int main() {
  course::Facts facts;
  handles_and_views(facts);
  sixteen_lanes(facts);
  one_weight_meets_sixteen_samples(facts);
  return facts.exit_code();
}
