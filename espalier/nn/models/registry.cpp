// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/models/registry.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include <espalier/core/detail/nearest_name.h>
#include <espalier/nn/models/densenet.h>
#include <espalier/nn/models/lenet.h>
#include <espalier/nn/models/mobilenet.h>
#include <espalier/nn/models/resnet.h>
#include <espalier/nn/models/to_count.h>
#include <espalier/nn/models/transformer.h>
#include <espalier/nn/models/vgg.h>
#include <espalier/nn/models/wide_resnet.h>
#include <espalier/nn/module/init.h>

namespace espalier::nn {
namespace {

using Made = std::unique_ptr<Module>;

struct Entry {
  ModelInfo info;
  ModelMaker make;
};

Entry conv_stack(int depth) {
  return {{cat("conv", depth), cat("Conv-", depth, " of the lottery tickets, arXiv:1803.03635")},
          [depth](const ModelOptions& o) -> Made {
            return std::make_unique<models::ConvStack>(depth, o.image, o.num_classes);
          }};
}

Entry vgg(int depth) {
  return {{.name = cat("vgg", depth),
           .title = cat("VGG-", depth, " with batch norm, CIFAR form, arXiv:1409.1556"),
           .widths = true},
          [depth](const ModelOptions& o) -> Made {
            return std::make_unique<models::Vgg>(depth, o.image, o.num_classes, o.width);
          }};
}

Entry cifar_resnet(int depth) {
  return {{.name = cat("resnet", depth),
           .title = cat("ResNet-", depth, " for 32x32 images, arXiv:1512.03385"),
           .widths = true,
           .shortcuts = true},
          [depth](const ModelOptions& o) -> Made {
            return std::make_unique<models::ResNet>(
                cat("ResNet-", depth),
                models::cifar_resnet_plan(depth, o.shortcut, o.width),
                o.image.channels,
                o.num_classes);
          }};
}

Entry deep_resnet(int depth) {
  return {{.name = cat("resnet", depth),
           .title = cat("ResNet-", depth, " with a 3x3 or 7x7 stem, arXiv:1512.03385"),
           .widths = true,
           .stems = true},
          [depth](const ModelOptions& o) -> Made {
            return std::make_unique<models::ResNet>(
                cat("ResNet-", depth),
                models::deep_resnet_plan(depth, o.stem, o.width),
                o.image.channels,
                o.num_classes);
          }};
}

Entry wide_resnet(int depth, int k) {
  return {{.name = cat("wrn-", depth, "-", k),
           .title = cat("wide ResNet, ", k, " times as wide, arXiv:1605.07146"),
           .widths = true},
          [depth, k](const ModelOptions& o) -> Made {
            return std::make_unique<models::WideResNet>(
                depth, k, o.image.channels, o.num_classes, o.width);
          }};
}

Entry densenet(int depth, int growth) {
  return {{cat("densenet-bc-", depth, "-", growth),
           cat("DenseNet-BC, growth ", growth, ", arXiv:1608.06993")},
          [depth, growth](const ModelOptions& o) -> Made {
            return std::make_unique<models::DenseNet>(
                depth, growth, o.image.channels, o.num_classes);
          }};
}

/// The zoo. To add a model: a family file, and a line here.
std::vector<Entry> zoo() {
  return {{{"lenet-300-100", "two hidden linear layers, LeCun 1998"},
           [](const ModelOptions& o) -> Made {
             return std::make_unique<models::LeNet300>(o.image, o.num_classes);
           }},
          {{"lenet5", "LeNet-5 in its Caffe form, LeCun 1998"},
           [](const ModelOptions& o) -> Made {
             return std::make_unique<models::LeNet5>(o.image, o.num_classes);
           }},
          conv_stack(2),
          conv_stack(4),
          conv_stack(6),
          vgg(11),
          vgg(13),
          vgg(16),
          vgg(19),
          cifar_resnet(20),
          cifar_resnet(32),
          cifar_resnet(44),
          cifar_resnet(56),
          cifar_resnet(110),
          deep_resnet(18),
          deep_resnet(34),
          deep_resnet(50),
          wide_resnet(16, 4),
          wide_resnet(16, 8),
          wide_resnet(28, 10),
          wide_resnet(40, 2),
          {{.name = "mobilenetv2",
            .title = "MobileNetV2 with the strides of 32x32 or 224x224 images, arXiv:1801.04381",
            .widths = true,
            .stems = true},
           [](const ModelOptions& o) -> Made {
             return std::make_unique<models::MobileNetV2>(
                 o.image.channels, o.num_classes, o.width, o.stem);
           }},
          densenet(40, 12),
          densenet(100, 12),
          {{"vit", "small vision transformer, 4x4 patches, arXiv:2010.11929"},
           [](const ModelOptions& o) -> Made {
             return std::make_unique<models::VisionTransformer>(
                 models::TransformerSizes{}, o.image, o.num_classes);
           }},
          {{"gpt", "small language model, GPT-2 blocks, Radford 2019", InputKind::Tokens},
           [](const ModelOptions& o) -> Made {
             return std::make_unique<models::Gpt>(
                 models::TransformerSizes{.dim = 128, .depth = 4, .heads = 4, .hidden = 512},
                 o.num_classes,
                 o.context);
           }}};
}

std::vector<Entry>& entries() {
  static std::vector<Entry> list = zoo();
  return list;
}

std::deque<ModelInfo>& infos() {
  static std::deque<ModelInfo> list = [] {
    std::deque<ModelInfo> out;
    for (const Entry& entry : entries()) out.push_back(entry.info);
    return out;
  }();
  return list;
}

/// Lower case, without `-` and `_`.
std::string squeezed(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c != '-' && c != '_') out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

/// The two numbers of `prefix-A-B`, or nothing. No network comes near 9999.
std::optional<std::pair<int, int>> two_numbers(std::string name, std::string_view prefix) {
  for (char& c : name)
    c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (!name.starts_with(prefix)) return {};
  const char* begin = name.data() + prefix.size();
  const char* end = name.data() + name.size();
  int a = 0;
  int b = 0;
  const auto first = std::from_chars(begin, end, a);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '-') return {};
  const auto second = std::from_chars(first.ptr + 1, end, b);
  if (second.ec != std::errc() || second.ptr != end) return {};
  if (a < 1 || a > 9999 || b < 1 || b > 9999) return {};
  return std::pair(a, b);
}

[[noreturn]] void unknown(std::string_view name) {
  std::string known;
  std::vector<std::string> names;
  for (const Entry& entry : entries()) {
    known += (known.empty() ? "" : ", ") + entry.info.name;
    names.push_back(squeezed(entry.info.name));
  }
  const auto nearest = espalier::detail::nearest_name(squeezed(name), names);
  throw ValueError(cat("make_model: unknown model '",
                       name,
                       "'.",
                       nearest ? cat(" Did you mean ", entries()[*nearest].info.name, "?") : "",
                       " Known: ",
                       known,
                       ", wrn-D-K, densenet-bc-L-K"));
}

Entry find(std::string_view name) {
  if (const auto sizes = two_numbers(std::string(name), "wrn-")) {
    return wide_resnet(sizes->first, sizes->second);
  }
  if (const auto sizes = two_numbers(std::string(name), "densenet-bc-")) {
    return densenet(sizes->first, sizes->second);
  }
  std::string wanted = squeezed(name);
  if (wanted.starts_with("vgg") && wanted.ends_with("bn")) wanted.resize(wanted.size() - 2);
  if (wanted == "lenet300") wanted = "lenet300100";
  for (const Entry& entry : entries()) {
    if (squeezed(entry.info.name) == wanted) return entry;
  }
  unknown(name);
}

}  // namespace

const std::deque<ModelInfo>& model_list() {
  return infos();
}

void register_model(ModelInfo info, ModelMaker make) {
  ESPALIER_CHECK(!squeezed(info.name).empty() && make,
                 ValueError,
                 "register_model: expects a name and a maker, got '",
                 info.name,
                 "'");
  for (const Entry& entry : entries()) {
    ESPALIER_CHECK(squeezed(entry.info.name) != squeezed(info.name),
                   ValueError,
                   "register_model: the name ",
                   info.name,
                   " is taken by ",
                   entry.info.name);
  }
  infos().push_back(info);
  entries().push_back({std::move(info), std::move(make)});
}

std::unique_ptr<Module> make_model_to_count(std::string_view name, const ModelOptions& options) {
  const Entry entry = find(name);
  ESPALIER_CHECK(options.num_classes > 0,
                 ValueError,
                 "make_model: expects at least one class, got ",
                 options.num_classes);
  ESPALIER_CHECK(options.image.channels > 0 && options.image.height > 0 && options.image.width > 0,
                 ValueError,
                 "make_model: expects an image of positive size, got ",
                 Shape{options.image.channels, options.image.height, options.image.width});
  return entry.make(options);
}

std::unique_ptr<Module> make_model(std::string_view name, const ModelOptions& options) {
  std::unique_ptr<Module> model = make_model_to_count(name, options);
  init_parameters(*model, options.seed);
  return model;
}

std::string canonical_model_name(std::string_view name) {
  return find(name).info.name;
}

InputKind model_input(std::string_view name) {
  return find(name).info.input;
}

bool model_has_widths(std::string_view name) {
  return find(name).info.widths;
}

bool model_has_shortcuts(std::string_view name) {
  return find(name).info.shortcuts;
}

bool model_has_stems(std::string_view name) {
  return find(name).info.stems;
}

Variable example_input(std::string_view name, const ModelOptions& options, int64_t batch) {
  if (model_input(name) == InputKind::Tokens) {
    return Variable(Tensor::zeros({batch, options.context}, DType::I64));
  }
  const data::ImageShape& image = options.image;
  return Variable(Tensor::zeros({batch, image.channels, image.height, image.width}));
}

}  // namespace espalier::nn
