// SPDX-License-Identifier: Apache-2.0
// Throughput of what stands between a data set and the first layer, in images a second.
#include <vector>

#include <benchmark/benchmark.h>

#include <espalier/data/loader.h>
#include <espalier/data/memory_dataset.h>
#include <espalier/data/synth.h>

namespace espalier::data {
namespace {

constexpr int64_t kImages = 10000;

// Of CIFAR's size; what the pixels are does not matter.
std::shared_ptr<const Dataset> pictures() {
  static const auto dataset = [] {
    MemoryContent content{.name = "bench",
                          .shape = {},
                          .pixels = std::vector<uint8_t>(kImages * 3072),
                          .labels = std::vector<uint8_t>(kImages),
                          .class_names = {"a"},
                          .mean = {0.5f, 0.5f, 0.5f},
                          .stddev = {0.25f, 0.25f, 0.25f}};
    for (size_t i = 0; i < content.pixels.size(); ++i) {
      content.pixels[i] = static_cast<uint8_t>(i * 2654435761u >> 24);
    }
    return std::make_shared<MemoryDataset>(std::move(content));
  }();
  return dataset;
}

void run_epochs(benchmark::State& state, const LoaderOptions& options) {
  Loader loader(pictures(), options);
  int64_t epoch = 0;
  for (auto _ : state) {
    loader.start_epoch(epoch++);
    while (auto batch = loader.next()) benchmark::DoNotOptimize(batch->images.raw());
  }
  state.SetItemsProcessed(state.iterations() * kImages);
}

// Arguments: workers (0 = in the caller's thread).
void loader_plain(benchmark::State& state) {
  LoaderOptions options;
  options.workers = static_cast<int>(state.range(0));
  run_epochs(state, options);
}
BENCHMARK(loader_plain)->Arg(0)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

void loader_crop_and_flip(benchmark::State& state) {
  LoaderOptions options;
  options.shuffle = true;
  options.augmentation = {.crop_padding = 4, .horizontal_flip = true};
  options.workers = static_cast<int>(state.range(0));
  run_epochs(state, options);
}
BENCHMARK(loader_crop_and_flip)
    ->Arg(0)
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void loader_crop_and_flip_nchw(benchmark::State& state) {
  LoaderOptions options;
  options.shuffle = true;
  options.augmentation = {.crop_padding = 4, .horizontal_flip = true};
  options.layout = Layout::Nchw;
  options.workers = 0;
  run_epochs(state, options);
}
BENCHMARK(loader_crop_and_flip_nchw)->UseRealTime()->Unit(benchmark::kMillisecond);

void synth_draw(benchmark::State& state) {
  std::vector<uint8_t> pixels(3072);
  int64_t index = state.thread_index() * 1000000;
  for (auto _ : state) {
    draw_synth(0, Split::Train, index++, pixels);
    benchmark::DoNotOptimize(pixels.data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(synth_draw)->Threads(1)->Threads(2)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace espalier::data
