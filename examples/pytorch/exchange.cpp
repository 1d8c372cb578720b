// SPDX-License-Identifier: Apache-2.0
// The C++ side of the exchange with PyTorch (README.md here; exchange.py is the other side):
//
//   exchange write FOLDER   pruned networks NAME.safetensors, each with NAME.batch.safetensors:
//   images and
//                           the logits that it gives
//   exchange check FOLDER   what came back as NAME.back.safetensors is the same network, and
//   networks that
//                           PyTorch made (NAME.torch.safetensors) give PyTorch's logits
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>

#include <espalier/espalier.h>
#include <espalier/prune/ground/select.h>

using namespace espalier;
using std::filesystem::path;

namespace {

constexpr double kTolerance = 1e-4;  // of the largest logit; float32 sums in another order
const char* const kNetworks[] = {"resnet20", "vgg16"};

path file(const path& folder, const std::string& name, const char* kind) {
  return folder / (name + kind + ".safetensors");
}

Tensor logits_of(nn::Module& model, const Tensor& images) {
  model.eval();
  const NoGrad no_grad;
  return model(Variable(images)).value();
}

// As a part of the largest magnitude in `b`.
double largest_difference(const Tensor& a, const Tensor& b) {
  const std::vector<float> x = a.to_vector<float>();
  const std::vector<float> y = b.to_vector<float>();
  if (x.size() != y.size()) return INFINITY;
  double largest = 0.0;
  for (const float v : y) largest = std::max(largest, std::fabs(double{v}));
  double out = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = std::fabs(double{x[i]} - double{y[i]});
    if (!(difference <= out)) out = difference;  // NaN stays
  }
  return out / largest;
}

// Keeps the fifth with the largest magnitudes.
void prune_weight(nn::Parameter& weight) {
  std::vector<double> magnitudes;
  for (const float w : weight.value.value().to_vector<float>()) magnitudes.push_back(std::fabs(w));
  const int64_t kept = prune::kept_count(weight.value.numel(), prune::Sparsity(0.8));
  weight.set_mask(Tensor::from<uint8_t>(weight.shape(), prune::top_k(magnitudes, {}, kept)));
}

void write(const path& folder) {
  for (const std::string name : kNetworks) {
    const auto model = nn::make_model(name);
    Rng rng(1, "images");
    Tensor images = Tensor::empty({4, 3, 32, 32});
    fill_normal_(images, rng);
    for (const nn::NamedParameter& p : nn::prunable_parameters(*model)) {
      prune_weight(*p.parameter);
    }
    model->train();
    const NoGrad no_grad;
    for (int i = 0; i < 3; ++i) (*model)(Variable(images));  // moves batch norm's statistics
    nn::save_model(file(folder, name, ""), name, {}, *model);
    save_safetensors(file(folder, name, ".batch"),
                     {{{"images", images}, {"logits", logits_of(*model, images)}}, {}});
  }
}

bool same(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    const auto other = b.find(name);
    if (other == b.end() || other->second.shape() != tensor.shape() ||
        std::memcmp(other->second.raw(), tensor.raw(), static_cast<size_t>(tensor.nbytes())) != 0) {
      return false;
    }
  }
  return true;
}

bool check(const path& folder) {
  bool good = true;
  const auto expect = [&](bool condition, const std::string& fact) {
    std::printf("%s: %s\n", condition ? "ok" : "WRONG", fact.c_str());
    good = good && condition;
  };
  for (const std::string name : kNetworks) {
    const auto model = nn::make_model(name, {.seed = 2});
    model->load_state_dict(load_safetensors(file(folder, name, ".back")).tensors);
    const nn::SavedModel original = nn::load_model(file(folder, name, ""));
    expect(same(model->state_dict(), original.module->state_dict()),
           name + " came back with the same bits, masks included");
    if (!std::filesystem::exists(file(folder, name, ".torch"))) continue;
    model->load_state_dict(load_safetensors(file(folder, name, ".torch")).tensors);
    const SafetensorsFile batch = load_safetensors(file(folder, name, ".torch_batch"));
    const double difference = largest_difference(logits_of(*model, batch.tensors.at("images")),
                                                 batch.tensors.at("logits"));
    expect(difference <= kTolerance,
           cat(name, " of PyTorch gives its logits; largest difference ", difference));
    const double sparsity = nn::count_model(*model, Shape{3, 32, 32}).sparsity();
    expect(std::fabs(sparsity - 0.7) < 1e-3, name + " of PyTorch kept its masks (70 %)");
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc == 3 ? argv[1] : "";
  if (verb != "write" && verb != "check") {
    std::fputs("usage: exchange write|check FOLDER\n", stderr);
    return 2;
  }
  try {
    if (verb == "check") return check(argv[2]) ? 0 : 1;
    write(argv[2]);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
