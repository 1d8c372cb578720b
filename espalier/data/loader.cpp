// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/loader.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <espalier/core/error.h>
#include <espalier/core/random.h>
#include <espalier/data/detail/sample_view.h>
#include <espalier/data/normalize.h>

namespace espalier::data {
namespace {

// One epoch as the workers see it; immutable, so that they need no lock to read it.
struct Epoch {
  int64_t number = 0;
  std::vector<int64_t> order;
};

// A finished batch, or what its making threw.
struct Outcome {
  Batch batch;
  std::exception_ptr error;
};

void set_to_zero(const Box& box, const ImageShape& shape, int64_t sample, Tensor& images) {
  const detail::SampleView view = detail::sample_view(images, sample, shape.numel());
  for (int64_t c = 0; c < shape.channels; ++c) {
    for (int64_t y = box.top; y < box.bottom; ++y) {
      for (int64_t x = box.left; x < box.right; ++x) {
        view[(c * shape.height + y) * shape.width + x] = 0.0f;
      }
    }
  }
}

void check_transforms(const Dataset& dataset, const LoaderOptions& options) {
  ESPALIER_CHECK(options.transforms.empty() || dataset.context() == 0,
                 ValueError,
                 "loader: data set ",
                 dataset.name(),
                 " is a text, but transforms change images");
  std::set<std::string> names;
  for (const auto& transform : options.transforms) {
    ESPALIER_CHECK(transform != nullptr, ValueError, "loader: a transform is null");
    ESPALIER_CHECK(names.insert(transform->name()).second,
                   ValueError,
                   "loader: the transform ",
                   transform->name(),
                   " is there twice, and would draw the same twice");
  }
}

Normalizer make_normalizer(const Dataset& dataset, const LoaderOptions& options) {
  Normalizer out(options.mean.empty() ? dataset.mean() : options.mean,
                 options.stddev.empty() ? dataset.stddev() : options.stddev);
  ESPALIER_CHECK(out.channels() == dataset.image_shape().channels,
                 ValueError,
                 "loader: data set ",
                 dataset.name(),
                 " has ",
                 dataset.image_shape().channels,
                 " channels, but the normalization has ",
                 out.channels());
  return out;
}

const Dataset& checked(const std::shared_ptr<const Dataset>& dataset,
                       const LoaderOptions& options) {
  ESPALIER_CHECK(dataset != nullptr, ValueError, "loader: expects a data set, got null");
  ESPALIER_CHECK(options.batch_size >= 1,
                 ValueError,
                 "loader: expects batch_size >= 1, got ",
                 options.batch_size);
  ESPALIER_CHECK(options.workers >= 0 && options.workers <= 1024 && options.prefetch >= 1,
                 ValueError,
                 "loader: expects workers in 0..1024 and prefetch >= 1, got ",
                 options.workers,
                 " and ",
                 options.prefetch);
  // Checks the augmentation as well.
  draw_placement(options.augmentation, dataset->image_shape(), 0, 0, 0);
  check_transforms(*dataset, options);
  return *dataset;
}

}  // namespace

struct Loader::Impl {
  Impl(std::shared_ptr<const Dataset> data, const LoaderOptions& settings)
      : options(settings),
        shape(checked(data, settings).image_shape()),
        dataset(std::move(data)),
        normalizer(make_normalizer(*dataset, settings)) {
    const int64_t size = dataset->size();
    batches = options.drop_last ? size / options.batch_size
                                : (size + options.batch_size - 1) / options.batch_size;
    try {
      for (int i = 0; i < options.workers; ++i) threads.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {  // the system has no more threads
      shut_down();
      throw std::system_error(
          error.code(),
          cat("loader: can't start worker ", threads.size() + 1, " of ", options.workers));
    } catch (...) {
      shut_down();
      throw;
    }
  }

  ~Impl() { shut_down(); }

  void shut_down() {
    {
      std::lock_guard lock(mutex);
      stop = true;
    }
    wake_workers.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  Batch make(const Epoch& current, int64_t position) const {
    if (dataset->context() > 0) return make_text(current, position);
    const int64_t begin = position * options.batch_size;
    const int64_t n = std::min(options.batch_size, dataset->size() - begin);
    const Augmentation& augmentation = options.augmentation;
    const bool moves = augmentation.crop_padding > 0 || augmentation.horizontal_flip;
    const auto numel = static_cast<size_t>(shape.numel());
    Batch out{
        Tensor::empty({n, shape.channels, shape.height, shape.width}, DType::F32, options.layout),
        Tensor::empty({n}, DType::I64)};
    int64_t* labels = out.labels.data<int64_t>();
    std::vector<uint8_t> original(numel);
    std::vector<uint8_t> block(numel * static_cast<size_t>(kLanes));
    for (int64_t first = 0; first < n; first += kLanes) {
      const int64_t count = std::min(kLanes, n - first);
      std::vector<Box> erased[kLanes];
      for (int64_t lane = 0; lane < count; ++lane) {
        const int64_t index = current.order[static_cast<size_t>(begin + first + lane)];
        labels[first + lane] = dataset->label(index);
        const auto place = std::span(block).subspan(static_cast<size_t>(lane) * numel, numel);
        const Placement placement =
            draw_placement(augmentation, shape, options.seed, current.number, index);
        if (moves) {
          dataset->read(index, original);
          crop_and_mirror(original, shape, placement, place);
        } else {
          dataset->read(index, place);
        }
        TrainingImage image{place, shape};
        if (!placement.cutout.empty()) image.erased.push_back(placement.cutout);
        const Moment moment{options.seed, current.number, index};
        for (const auto& transform : options.transforms) transform->change_image(image, moment);
        erased[lane] = std::move(image.erased);
      }
      normalizer.fill(block, shape, first, count, out.images);
      for (int64_t lane = 0; lane < count; ++lane) {
        for (const Box& box : erased[lane]) set_to_zero(box, shape, first + lane, out.images);
      }
    }
    const auto classes = static_cast<int64_t>(dataset->class_names().size());
    const Moment moment{options.seed, current.number, position};
    for (const auto& transform : options.transforms) {
      transform->change_batch(out, classes, moment);
    }
    return out;
  }

  Batch make_text(const Epoch& current, int64_t position) const {
    const int64_t begin = position * options.batch_size;
    const int64_t n = std::min(options.batch_size, dataset->size() - begin);
    const int64_t context = dataset->context();
    Batch out{Tensor::empty({n, context}, DType::I64), Tensor::empty({n * context}, DType::I64)};
    std::vector<uint8_t> window(static_cast<size_t>(context) + 1);
    for (int64_t i = 0; i < n; ++i) {
      dataset->read(current.order[static_cast<size_t>(begin + i)], window);
      std::copy_n(window.begin(), context, out.images.data<int64_t>() + i * context);
      std::copy_n(window.begin() + 1, context, out.labels.data<int64_t>() + i * context);
    }
    return out;
  }

  // What a worker does: takes the next position that is not too far ahead, makes it, hands it in.
  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      wake_workers.wait(lock, [this] {
        return stop || (epoch && claimed < batches && claimed < consumed + options.prefetch);
      });
      if (stop) return;
      const std::shared_ptr<const Epoch> mine = epoch;
      const int64_t position = claimed++;
      lock.unlock();
      Outcome outcome;
      try {
        outcome.batch = make(*mine, position);
      } catch (...) {
        outcome.error = std::current_exception();
      }
      lock.lock();
      if (mine == epoch) {  // else another epoch was started meanwhile
        ready.emplace(position, std::move(outcome));
        wake_consumer.notify_one();
      }
    }
  }

  LoaderOptions options;
  ImageShape shape;
  std::shared_ptr<const Dataset> dataset;
  Normalizer normalizer;
  int64_t batches = 0;

  std::mutex mutex;
  std::condition_variable wake_workers;
  std::condition_variable wake_consumer;
  std::shared_ptr<const Epoch> epoch;
  int64_t claimed = 0;   // batches below this one are made or being made
  int64_t consumed = 0;  // batches below this one were handed out
  std::map<int64_t, Outcome> ready;
  bool stop = false;
  std::vector<std::thread> threads;
};

Loader::Loader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(std::move(dataset), options)) {}

Loader::~Loader() = default;

int64_t Loader::batches() const {
  return impl_->batches;
}
const Dataset& Loader::dataset() const {
  return *impl_->dataset;
}
const LoaderOptions& Loader::options() const {
  return impl_->options;
}

void Loader::start_epoch(int64_t epoch, int64_t first_batch) {
  ESPALIER_CHECK(epoch >= 0 && first_batch >= 0 && first_batch <= impl_->batches,
                 ValueError,
                 "loader: start_epoch expects an epoch >= 0 and a first batch in 0..",
                 impl_->batches,
                 ", got ",
                 epoch,
                 " and ",
                 first_batch);
  auto next = std::make_shared<Epoch>();
  next->number = epoch;
  const int64_t size = impl_->dataset->size();
  if (impl_->options.shuffle) {
    next->order =
        Rng(impl_->options.seed, "shuffle").fork(static_cast<uint64_t>(epoch)).permutation(size);
  } else {
    next->order.resize(static_cast<size_t>(size));
    std::iota(next->order.begin(), next->order.end(), int64_t{0});
  }
  {
    std::lock_guard lock(impl_->mutex);
    impl_->epoch = std::move(next);
    impl_->claimed = impl_->consumed = first_batch;
    impl_->ready.clear();
  }
  impl_->wake_workers.notify_all();
}

std::optional<Batch> Loader::next() {
  Impl& impl = *impl_;
  std::unique_lock lock(impl.mutex);
  ESPALIER_CHECK(impl.epoch != nullptr,
                 ValueError,
                 "loader: next() before start_epoch(). Call start_epoch(0) first");
  if (impl.consumed == impl.batches) return std::nullopt;
  const int64_t position = impl.consumed;
  if (impl.options.workers == 0) {
    ++impl.consumed;
    return impl.make(*impl.epoch, position);
  }
  impl.wake_consumer.wait(lock, [&] { return impl.ready.contains(position); });
  Outcome outcome = std::move(impl.ready.extract(position).mapped());
  ++impl.consumed;
  lock.unlock();
  impl.wake_workers.notify_one();
  if (outcome.error) std::rethrow_exception(outcome.error);
  return std::move(outcome.batch);
}

}  // namespace espalier::data
