// SPDX-License-Identifier: Apache-2.0
// The same networks, batch and training step in libtorch's C++ API.
//
//   peer_libtorch MODEL BATCH THREADS nchw|channels_last
//
// reads requests, one a line: `train N` or `infer N` runs N steps and prints the seconds of one;
// `memory` prints the largest resident size so far in bytes; `epoch FOLDER [N]` trains once over
// the CIFAR-10 files there (or N of their images), cropped and mirrored at random, and prints the
// seconds.
#include <sys/resource.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>

#include <torch/torch.h>

namespace {

namespace nn = torch::nn;

nn::Conv2d conv3x3(int64_t in, int64_t out, int64_t stride = 1) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, 3).stride(stride).padding(1).bias(false));
}

nn::Sequential vgg16() {
  nn::Sequential net;
  int64_t in = 3;
  for (const int64_t out :
       {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0}) {
    if (out == 0) {
      net->push_back(nn::MaxPool2d(nn::MaxPool2dOptions(2)));
      continue;
    }
    net->push_back(conv3x3(in, out));
    net->push_back(nn::BatchNorm2d(out));
    net->push_back(nn::ReLU(nn::ReLUOptions(true)));
    in = out;
  }
  net->push_back(nn::Flatten());
  net->push_back(nn::Linear(512, 10));
  return net;
}

// A basic block with the option-A shortcut of the CIFAR networks.
struct BlockImpl : nn::Module {
  BlockImpl(int64_t in, int64_t out, int64_t stride)
      : conv1(register_module("conv1", conv3x3(in, out, stride))),
        bn1(register_module("bn1", nn::BatchNorm2d(out))),
        conv2(register_module("conv2", conv3x3(out, out))),
        bn2(register_module("bn2", nn::BatchNorm2d(out))),
        added((out - in) / 2),
        step(stride) {}

  torch::Tensor forward(const torch::Tensor& x) {
    torch::Tensor y = bn1(conv1(x)).relu_();
    y = bn2(conv2(y));
    torch::Tensor shortcut = x;
    if (step != 1) {
      using torch::indexing::None;
      using torch::indexing::Slice;
      shortcut = x.index({Slice(), Slice(), Slice(None, None, step), Slice(None, None, step)});
      shortcut =
          nn::functional::pad(shortcut, nn::functional::PadFuncOptions({0, 0, 0, 0, added, added}));
    }
    return torch::relu_(y.add_(shortcut));
  }

  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::Conv2d conv2;
  nn::BatchNorm2d bn2;
  int64_t added, step;
};
TORCH_MODULE(Block);

nn::Sequential resnet(int64_t blocks) {
  nn::Sequential net(conv3x3(3, 16), nn::BatchNorm2d(16), nn::ReLU(nn::ReLUOptions(true)));
  int64_t in = 16;
  for (const int64_t out : {16, 32, 64}) {
    for (int64_t i = 0; i < blocks; ++i) {
      net->push_back(Block(in, out, i == 0 && out != 16 ? 2 : 1));
      in = out;
    }
  }
  net->push_back(nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions(1)));
  net->push_back(nn::Flatten());
  net->push_back(nn::Linear(64, 10));
  return net;
}

nn::Sequential make_model(const std::string& name) {
  if (name == "vgg16") return vgg16();
  if (name == "resnet20") return resnet(3);
  if (name == "resnet32") return resnet(5);
  throw std::invalid_argument("peer_libtorch: expects vgg16, resnet20 or resnet32, got " + name);
}

constexpr int64_t kImages = 50000;
constexpr int64_t kImageBytes = 3 * 32 * 32;

struct Cifar {
  torch::Tensor images = torch::empty({kImages, 3, 32, 32}, torch::kUInt8);
  torch::Tensor labels = torch::empty({kImages}, torch::kInt64);
};

Cifar read_cifar(const std::string& folder) {
  Cifar data;
  auto* label = data.labels.data_ptr<int64_t>();
  auto* image = data.images.data_ptr<uint8_t>();
  for (int i = 1; i <= 5; ++i) {
    std::ifstream file(folder + "/data_batch_" + std::to_string(i) + ".bin", std::ios::binary);
    for (int64_t k = 0; k < kImages / 5; ++k, image += kImageBytes) {
      *label++ = file.get();
      if (!file.read(reinterpret_cast<char*>(image), kImageBytes)) {
        throw std::runtime_error("peer_libtorch: expects the CIFAR-10 files in " + folder);
      }
    }
  }
  return data;
}

// Normalized, and cropped out of a border of 4 zeros and mirrored at random.
torch::Tensor augmented(const torch::Tensor& images) {
  static const torch::Tensor mean = torch::tensor({125.3f, 123.0f, 113.9f}).view({1, 3, 1, 1});
  static const torch::Tensor deviation = torch::tensor({63.0f, 62.1f, 66.7f}).view({1, 3, 1, 1});
  const torch::Tensor x = images.to(torch::kFloat32).sub_(mean).div_(deviation);
  const torch::Tensor padded = torch::constant_pad_nd(x, {4, 4, 4, 4});
  const torch::Tensor draws = torch::randint(0, 9, {x.size(0), 3});
  torch::Tensor out = torch::empty_like(x);
  for (int64_t i = 0; i < x.size(0); ++i) {
    const auto* draw = draws.data_ptr<int64_t>() + 3 * i;
    const torch::Tensor crop = padded[i].narrow(1, draw[0], 32).narrow(2, draw[1], 32);
    out[i].copy_(draw[2] % 2 == 0 ? crop : crop.flip({2}));
  }
  return out;
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: peer_libtorch MODEL BATCH THREADS nchw|channels_last\n";
    return 2;
  }
  const std::string layout = argv[4];
  const auto format = layout == "channels_last" ? torch::MemoryFormat::ChannelsLast
                                                : torch::MemoryFormat::Contiguous;
  at::set_num_threads(std::stoi(argv[3]));
  torch::manual_seed(0);
  nn::Sequential model = make_model(argv[1]);
  if (layout == "channels_last") {
    for (torch::Tensor& p : model->parameters()) {
      if (p.dim() == 4) p.set_data(p.contiguous(format));
    }
  }
  const int64_t batch = std::stoll(argv[2]);
  const torch::Tensor images = torch::randn({batch, 3, 32, 32}).contiguous(format);
  const torch::Tensor labels = torch::arange(batch) % 10;
  torch::optim::SGD optimizer(model->parameters(),
                              torch::optim::SGDOptions(1e-3).momentum(0.9).weight_decay(5e-4));
  const auto step = [&](const torch::Tensor& x, const torch::Tensor& target) {
    model->train();
    optimizer.zero_grad();
    torch::nn::functional::cross_entropy(model->forward(x), target).backward();
    optimizer.step();
  };
  const auto train = [&] { step(images, labels); };
  const auto epoch = [&](const Cifar& data, int64_t count) {
    const torch::Tensor order = torch::randperm(kImages);
    for (int64_t first = 0; first < count; first += batch) {
      const torch::Tensor chosen = order.slice(0, first, std::min(count, first + batch));
      step(augmented(data.images.index_select(0, chosen)).contiguous(format),
           data.labels.index_select(0, chosen));
    }
  };
  const auto infer = [&] {
    model->eval();
    torch::NoGradGuard no_grad;
    model->forward(images);
  };
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string what;
    int64_t count = 1;
    words >> what;
    if (what == "epoch") {
      std::string folder;
      int64_t images = kImages;
      words >> folder >> images;
      if (words.fail()) images = kImages;
      const Cifar data = read_cifar(folder);
      std::cout << seconds_of([&] { epoch(data, images); }) << std::endl;
      continue;
    }
    words >> count;
    if (what == "memory") {
      rusage usage{};
      getrusage(RUSAGE_SELF, &usage);
      std::cout << usage.ru_maxrss * 1024.0 << std::endl;
      continue;
    }
    const double seconds = seconds_of([&] {
      for (int64_t i = 0; i < count; ++i) what == "train" ? train() : infer();
    });
    std::cout << seconds / static_cast<double>(count) << std::endl;
  }
}
