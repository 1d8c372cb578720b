// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/predict/predictions.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include <espalier/autograd/variable.h>
#include <espalier/core/error.h>
#include <espalier/nn/module/trace.h>

namespace espalier::experiments {
namespace {

std::vector<LikelyClass> likeliest(const float* logits, int64_t classes, int64_t most) {
  const double highest = *std::max_element(logits, logits + classes);
  double sum = 0.0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(logits[c]) - highest);
  std::vector<int64_t> order(static_cast<size_t>(classes));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(
      order.begin(), order.end(), [&](int64_t a, int64_t b) { return logits[a] > logits[b]; });
  std::vector<LikelyClass> out;
  for (int64_t i = 0; i < std::min(most, classes); ++i) {
    const int64_t c = order[static_cast<size_t>(i)];
    out.push_back({c, std::exp(static_cast<double>(logits[c]) - highest) / sum});
  }
  return out;
}

}  // namespace

Predictions predict(const std::function<Tensor(const Tensor&)>& logits_of,
                    std::shared_ptr<const data::Dataset> dataset,
                    const data::LoaderOptions& options,
                    int64_t most) {
  using Clock = std::chrono::steady_clock;
  Predictions out;
  std::chrono::duration<double, std::milli> busy{0};
  data::Loader loader(std::move(dataset), options);
  loader.start_epoch(0);
  while (const std::optional<data::Batch> batch = loader.next()) {
    const Clock::time_point start = Clock::now();
    const Tensor logits = logits_of(batch->images).to(Layout::Nchw).contiguous();
    busy += Clock::now() - start;
    const int64_t classes = logits.size(1);
    for (int64_t n = 0; n < logits.size(0); ++n) {
      const float* row = logits.data<float>() + n * classes;
      ESPALIER_CHECK(std::all_of(row, row + classes, [](float x) { return std::isfinite(x); }),
                     ValueError,
                     "predict: the network's output for picture ",
                     out.images.size() + 1,
                     " is not finite; are the pixels normalized as in training?");
      out.images.push_back(likeliest(row, classes, most));
    }
  }
  out.milliseconds = busy.count() / static_cast<double>(std::max<size_t>(1, out.images.size()));
  return out;
}

Predictions predict(nn::Module& model,
                    std::shared_ptr<const data::Dataset> dataset,
                    const data::LoaderOptions& options,
                    int64_t most) {
  const nn::EvalScope eval(model);
  const NoGrad no_grad;
  const auto parts = model.named_modules();
  const bool planes = std::ranges::any_of(
      parts, [](const nn::NamedModule& part) { return part.module->differs_by_sample(); });
  const auto logits_of = [&](const Tensor& images) {
    return model(Variable(planes ? images.to(Layout::Nchw) : images)).value();
  };
  return predict(logits_of, std::move(dataset), options, most);
}

}  // namespace espalier::experiments
