// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/low_rank.h>

#include <algorithm>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/kinds.h>

namespace espalier::nn {
namespace {

using Split = LowRank::Split;

std::vector<Shape> shapes_of(const Shape& w, const LowRank::Options& o) {
  switch (o.split) {
    case Split::Matrix:
      return {{o.rank, w[1]}, {w[0], o.rank}};
    case Split::Channel:
      return {{o.rank, w[1], w[2], w[3]}, {w[0], o.rank, 1, 1}};
    case Split::Spatial:
      return {{o.rank, w[1], w[2], 1}, {w[0], o.rank, 1, w[3]}};
    case Split::Tucker2:
      return {{o.inner, w[1], 1, 1}, {o.rank, o.inner, w[2], w[3]}, {w[0], o.rank, 1, 1}};
  }
  return {};
}

const char* name_of(Split split) {
  switch (split) {
    case Split::Matrix:
      return "matrix";
    case Split::Channel:
      return "channel";
    case Split::Spatial:
      return "spatial";
    case Split::Tucker2:
      return "tucker2";
  }
  return "";
}

}  // namespace

LowRank::Options LowRank::full(const Shape& weight, Split split) {
  ESPALIER_CHECK(weight.rank() == (split == Split::Matrix ? 2 : 4),
                 ShapeError,
                 "LowRank: a weight ",
                 weight,
                 " has no split '",
                 name_of(split),
                 "'");
  const int64_t outputs = weight[0];
  const int64_t inputs = weight[1];
  switch (split) {
    case Split::Matrix:
      return {.split = split, .rank = std::min(outputs, inputs)};
    case Split::Channel:
      return {.split = split, .rank = std::min(outputs, inputs * weight[2] * weight[3])};
    case Split::Spatial:
      return {.split = split, .rank = std::min(outputs * weight[3], inputs * weight[2])};
    case Split::Tucker2:
      return {.split = split, .rank = outputs, .inner = inputs};
  }
  return {};
}

LowRank::LowRank(const Shape& weight, const Options& options) : options_(options), weight_(weight) {
  const Options most = full(weight, options.split);
  ESPALIER_CHECK(options.rank >= 1 && options.rank <= most.rank && options.inner >= 1 &&
                     options.inner <= most.inner,
                 ValueError,
                 "LowRank: a weight ",
                 weight,
                 " has ranks of 1 .. ",
                 most.rank,
                 " and 1 .. ",
                 most.inner,
                 ", got ",
                 options.rank,
                 " and ",
                 options.inner);
  const std::vector<Shape> shapes = shapes_of(weight, options);
  first = Parameter(Tensor::zeros(shapes.front()));
  if (shapes.size() > 2) middle = Parameter(Tensor::zeros(shapes[1]));
  last = Parameter(Tensor::zeros(shapes.back()));
}

void LowRank::visit(MemberVisitor& visitor) {
  visitor.parameter("first", first);
  visitor.parameter("middle", middle);
  visitor.parameter("last", last);
}

std::string LowRank::describe() const {
  const bool tucker = options_.split == Split::Tucker2;
  return cat("LowRank(",
             name_of(options_.split),
             ", rank ",
             tucker ? cat(options_.inner, " and ") : std::string(),
             options_.rank,
             ")");
}

std::map<std::string, double> LowRank::settings() const {
  return {{"split", static_cast<double>(options_.split)},
          {"rank", static_cast<double>(options_.rank)},
          {"inner", static_cast<double>(options_.inner)}};
}

std::vector<Shape> LowRank::factor_shapes() const {
  return shapes_of(weight_, options_);
}

int64_t LowRank::numbers(const Shape& weight, const Options& options) {
  int64_t sum = 0;
  for (const Shape& shape : shapes_of(weight, options)) sum += shape.numel();
  return sum;
}

std::vector<const Parameter*> LowRank::chain() const {
  if (!middle.defined()) return {&first, &last};
  return {&first, &middle, &last};
}

void LowRank::set_factors(const std::vector<Tensor>& factors) {
  const std::vector<const Parameter*> own = chain();
  ESPALIER_CHECK(factors.size() == own.size(),
                 ShapeError,
                 "LowRank: expects ",
                 own.size(),
                 " factors, got ",
                 factors.size());
  for (size_t i = 0; i < own.size(); ++i) {
    ESPALIER_CHECK(factors[i].shape() == own[i]->shape(),
                   ShapeError,
                   "LowRank: expects a factor ",
                   own[i]->shape(),
                   ", got ",
                   factors[i].shape());
  }
  for (size_t i = 0; i < own.size(); ++i) {
    Tensor value = own[i]->value.value();
    value.copy_(factors[i]);
  }
}

std::vector<Conv2dOptions> LowRank::walks(const Conv2dOptions& whole) const {
  const auto along = [](const Pair& pair, int64_t other, bool rows) {
    return rows ? Pair(pair.h, other) : Pair(other, pair.w);
  };
  const auto direction = [&](bool rows) {
    return Conv2dOptions{.stride = along(whole.stride, 1, rows),
                         .padding = along(whole.padding, 0, rows),
                         .dilation = along(whole.dilation, 1, rows)};
  };
  switch (options_.split) {
    case Split::Matrix:
      return {{}, {}};
    case Split::Channel:
      return {whole, {}};
    case Split::Spatial:
      return {direction(true), direction(false)};
    case Split::Tucker2:
      return {{}, whole, {}};
  }
  return {};
}

Variable LowRank::product(const Variable& x, const LayerProduct& layer) {
  if (layer.conv == nullptr)
    return linear(linear(x, first.value, {}), last.value, layer.bias.value);
  const std::vector<Conv2dOptions> options = walks(*layer.conv);
  Variable y = conv2d(x, first.value, {}, options.front());
  if (middle.defined()) y = conv2d(y, middle.value, {}, options[1]);
  return conv2d(y, last.value, layer.bias.value, options.back());
}

std::vector<Conv2dShape> LowRank::factor_products(const Conv2dShape& shape) const {
  const std::vector<Conv2dOptions> options = walks(shape.options);
  std::vector<Conv2dShape> out;
  Shape input = {shape.n, shape.c, shape.h, shape.w};
  size_t i = 0;
  for (const Parameter* factor : chain()) {
    Shape kernel = factor->shape();
    if (options_.split == Split::Matrix) kernel = {kernel[0], kernel[1], 1, 1};
    out.push_back(conv2d_shape(input, kernel, options[i++], "LowRank"));
    input = {out.back().n, out.back().k, out.back().p, out.back().q};
  }
  return out;
}

Effective LowRank::effective(const Parameter& weight) {
  const Shape& w = weight_;
  const int64_t rank = options_.rank;
  Variable value;
  switch (options_.split) {
    case Split::Matrix:
      value = matmul(last.value, first.value);
      break;
    case Split::Channel:
      value = matmul(reshape(last.value, {w[0], rank}), reshape(first.value, {rank, -1}));
      break;
    case Split::Spatial: {
      const Variable out = reshape(permute(last.value, {0, 3, 2, 1}), {w[0] * w[3], rank});
      const Variable tjsi = matmul(out, reshape(first.value, {rank, w[1] * w[2]}));
      value = permute(reshape(tjsi, {w[0], w[3], w[1], w[2]}), {0, 2, 3, 1});
      break;
    }
    case Split::Tucker2: {
      const int64_t inner = options_.inner;
      const Variable core = reshape(permute(middle.value, {0, 2, 3, 1}), {-1, inner});
      const Variable rijs = matmul(core, reshape(first.value, {inner, w[1]}));
      const Variable rsij = permute(reshape(rijs, {rank, w[2], w[3], w[1]}), {0, 3, 1, 2});
      value = matmul(reshape(last.value, {w[0], rank}), reshape(rsij, {rank, -1}));
      break;
    }
  }
  return {reshape(value, weight.shape())};
}

PartKind low_rank_part() {
  return {.name = "low-rank",
          .make = [](const PartPlace& place, const PartDescription& description) {
            ESPALIER_CHECK(place.site && place.site->slot.whole && place.site->slot.groups == 1,
                           ValueError,
                           "forms: low-rank: ",
                           place.name,
                           " is no single product without groups");
            const Shape& shape = place.site->slot.parameter->shape();
            return std::make_shared<LowRank>(
                shape,
                LowRank::Options{.split = static_cast<Split>(description.whole("split", 0, 3)),
                                 .rank = description.whole("rank", 1, shape.numel()),
                                 .inner = description.whole("inner", 1, shape.numel())});
          }};
}

}  // namespace espalier::nn
