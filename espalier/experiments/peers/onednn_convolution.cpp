// SPDX-License-Identifier: Apache-2.0
// Single 3x3 convolutions (stride 1, padding 1, equal channels) in oneDNN's own blocked layout: all
// formats are the library's choice and reorders are not timed.
//
//   peer_onednn CHANNELS PLANE BATCH forward|backward_data|backward_weights direct|auto
//
// The number of threads is OMP_NUM_THREADS. Each line of input is a number N: runs N times and
// prints the seconds of one.
#include <chrono>
#include <iostream>
#include <string>
#include <unordered_map>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

namespace {

using dnnl::algorithm;
using dnnl::engine;
using dnnl::memory;
using dnnl::primitive;
using dnnl::prop_kind;
using dnnl::stream;

struct Run {
  primitive work;
  std::unordered_map<int, memory> arguments;
};

memory filled(const memory::desc& description, const engine& cpu) {
  memory out(description, cpu);
  auto* data = static_cast<float*>(out.get_data_handle());
  const size_t count = description.get_size() / sizeof(float);
  for (size_t i = 0; i < count; ++i) data[i] = 1e-3f * static_cast<float>(i % 1009);
  return out;
}

Run make_run(const engine& cpu,
             int64_t c,
             int64_t plane,
             int64_t n,
             const std::string& direction,
             algorithm how) {
  using tag = memory::format_tag;
  constexpr auto f32 = memory::data_type::f32;
  const memory::desc any_x({n, c, plane, plane}, f32, tag::any);
  const memory::desc any_w({c, c, 3, 3}, f32, tag::any);
  const memory::dims one = {1, 1};
  const dnnl::convolution_forward::primitive_desc forward(
      {prop_kind::forward_training, how, any_x, any_w, any_x, one, one, one}, cpu);
  if (direction == "forward") {
    return {dnnl::convolution_forward(forward),
            {{DNNL_ARG_SRC, filled(forward.src_desc(), cpu)},
             {DNNL_ARG_WEIGHTS, filled(forward.weights_desc(), cpu)},
             {DNNL_ARG_DST, filled(forward.dst_desc(), cpu)}}};
  }
  if (direction == "backward_data") {
    const dnnl::convolution_backward_data::primitive_desc backward(
        {how, any_x, any_w, any_x, one, one, one}, cpu, forward);
    return {dnnl::convolution_backward_data(backward),
            {{DNNL_ARG_DIFF_SRC, filled(backward.diff_src_desc(), cpu)},
             {DNNL_ARG_WEIGHTS, filled(backward.weights_desc(), cpu)},
             {DNNL_ARG_DIFF_DST, filled(backward.diff_dst_desc(), cpu)}}};
  }
  const dnnl::convolution_backward_weights::primitive_desc backward(
      {how, any_x, any_w, any_x, one, one, one}, cpu, forward);
  return {dnnl::convolution_backward_weights(backward),
          {{DNNL_ARG_SRC, filled(backward.src_desc(), cpu)},
           {DNNL_ARG_DIFF_WEIGHTS, filled(backward.diff_weights_desc(), cpu)},
           {DNNL_ARG_DIFF_DST, filled(backward.diff_dst_desc(), cpu)}}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: peer_onednn CHANNELS PLANE BATCH DIRECTION direct|auto\n";
    return 2;
  }
  const engine cpu(engine::kind::cpu, 0);
  stream order(cpu);
  const Run run = make_run(
      cpu,
      std::stoll(argv[1]),
      std::stoll(argv[2]),
      std::stoll(argv[3]),
      argv[4],
      std::string(argv[5]) == "auto" ? algorithm::convolution_auto : algorithm::convolution_direct);
  for (std::string line; std::getline(std::cin, line);) {
    const int64_t count = std::stoll(line);
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < count; ++i) run.work.execute(order, run.arguments);
    order.wait();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    std::cout << took.count() / static_cast<double>(count) << std::endl;
  }
}
