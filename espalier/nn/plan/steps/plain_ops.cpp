// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/plan/steps/plain_ops.h>

#include <algorithm>
#include <array>
#include <cmath>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>

namespace espalier::nn::plan {
namespace {

using Inputs = std::vector<Variable>;

/// How the result's shape follows from the operands', and where an op keeps samples apart.
enum class Rule : uint8_t {
  Same,        // as operand 0, the only one that may be a value; not along dimension 0
  Pairs,       // operands broadcast to the result
  Product,     // (..,M,K) x (..,K,N)
  Linear,      // (R,I) by a constant (O,I)
  Concat,      // along `dim`
  Reduction,   // over `dims`
  Expand,      // to `shape`
  Transposed,  // a transposed convolution by a constant
  Rows,        // rows of a constant by ids
};

struct PlainOp {
  std::string_view name;
  Rule rule;
  size_t least, most;  // operands
  Variable (*run)(const Inputs& in, const PlainCall& call);
};

std::vector<int> dims_of(const PlainCall& call) {
  const std::vector<int64_t>& dims = call.attributes.integers("dims");
  return std::vector<int>(dims.begin(), dims.end());
}

int dim_of(const PlainCall& call) {
  return static_cast<int>(call.attributes.integer("dim"));
}

bool keeps_dims(const PlainCall& call) {
  return call.attributes.flag("keepdim");
}

Shape shape_of(const PlainCall& call) {
  return Shape(std::span<const int64_t>(call.attributes.integers("shape")));
}

ConvTranspose2dOptions transposed_options(const PlainCall& call) {
  const OpAttributes& a = call.attributes;
  return {.stride = a.pair("stride"),
          .padding = a.pair("padding"),
          .output_padding = a.pair("output_padding"),
          .dilation = a.pair("dilation"),
          .groups = a.integer("groups")};
}

Variable run_linear(const Inputs& in, const PlainCall& call) {
  return linear(in[0], in[1], in.size() > 2 ? in[2] : Variable(), {.support = call.support});
}

/// Ids stand in memory as float32, which holds all that a table may have.
Variable run_embedding(const Inputs& in, const PlainCall& call) {
  const Tensor& given = in[0].value();
  const int64_t rows = call.operands[1][0];
  Tensor ids = Tensor::empty(given.shape(), DType::I64);
  const auto* x = given.data<float>();
  for (int64_t i = 0; i < given.numel(); ++i) {
    ESPALIER_CHECK(x[i] >= 0.0f && x[i] < static_cast<float>(rows) && x[i] == std::floor(x[i]),
                   ValueError,
                   "plan: id ",
                   i,
                   " of a sample is ",
                   x[i],
                   ", expected a whole number from 0 to ",
                   rows - 1);
    ids.data<int64_t>()[i] = static_cast<int64_t>(x[i]);
  }
  return embedding(in[1], ids);
}

template <Variable (*Op)(const Variable&)>
Variable one(const Inputs& in, const PlainCall&) {
  return Op(in[0]);
}
template <Variable (*Op)(const Variable&, const Variable&)>
Variable two(const Inputs& in, const PlainCall&) {
  return Op(in[0], in[1]);
}
template <Variable (*Op)(const Variable&, int)>
Variable along(const Inputs& in, const PlainCall& call) {
  return Op(in[0], dim_of(call));
}
template <Variable (*Op)(const Variable&, const std::vector<int>&, bool)>
Variable over(const Inputs& in, const PlainCall& call) {
  return Op(in[0], dims_of(call), keeps_dims(call));
}

const PlainOp kOps[] = {
    {"abs", Rule::Same, 1, 1, one<abs>},
    {"add", Rule::Pairs, 2, 2, two<add>},
    {"bmm", Rule::Product, 2, 2, two<bmm>},
    {"concat",
     Rule::Concat,
     1,
     1 << 10,
     [](const Inputs& in, const PlainCall& c) { return concat(in, dim_of(c)); }},
    {"conv_transpose2d",
     Rule::Transposed,
     2,
     3,
     [](const Inputs& in, const PlainCall& c) {
       return conv_transpose2d(
           in[0], in[1], in.size() > 2 ? in[2] : Variable(), transposed_options(c));
     }},
    {"cumsum", Rule::Same, 1, 1, along<cumsum>},
    {"div", Rule::Pairs, 2, 2, two<div>},
    {"embedding", Rule::Rows, 2, 2, run_embedding},
    {"exp", Rule::Same, 1, 1, one<exp>},
    {"expand",
     Rule::Expand,
     1,
     1,
     [](const Inputs& in, const PlainCall& c) { return expand(in[0], shape_of(c)); }},
    {"gelu", Rule::Same, 1, 1, one<gelu>},
    {"gelu_tanh", Rule::Same, 1, 1, one<gelu_tanh>},
    {"group_norm",
     Rule::Same,
     3,
     3,
     [](const Inputs& in, const PlainCall& c) {
       return group_norm(
           in[0], c.attributes.integer("groups"), in[1], in[2], c.attributes.number("eps"));
     }},
    {"leaky_relu",
     Rule::Same,
     1,
     1,
     [](const Inputs& in, const PlainCall& c) {
       return leaky_relu(in[0], c.attributes.number("slope"));
     }},
    {"linear", Rule::Linear, 2, 3, run_linear},
    {"log", Rule::Same, 1, 1, one<log>},
    {"log_softmax", Rule::Same, 1, 1, along<log_softmax>},
    {"logsumexp", Rule::Reduction, 1, 1, over<logsumexp>},
    {"matmul", Rule::Product, 2, 2, two<matmul>},
    {"maximum", Rule::Pairs, 2, 2, two<maximum>},
    {"minimum", Rule::Pairs, 2, 2, two<minimum>},
    {"mul", Rule::Pairs, 2, 2, two<mul>},
    {"neg", Rule::Same, 1, 1, one<neg>},
    {"pow",
     Rule::Pairs,
     1,
     2,
     [](const Inputs& in, const PlainCall& c) {
       return in.size() > 1 ? pow(in[0], in[1]) : pow(in[0], c.attributes.number("exponent"));
     }},
    {"sigmoid", Rule::Same, 1, 1, one<sigmoid>},
    {"sign", Rule::Same, 1, 1, one<sign>},
    {"silu", Rule::Same, 1, 1, one<silu>},
    {"softmax", Rule::Same, 1, 1, along<softmax>},
    {"softplus", Rule::Same, 1, 1, one<softplus>},
    {"sqrt", Rule::Same, 1, 1, one<sqrt>},
    {"sub", Rule::Pairs, 2, 2, two<sub>},
    {"sum", Rule::Reduction, 1, 1, over<sum>},
    {"tanh", Rule::Same, 1, 1, one<tanh>},
};

const PlainOp* find_plain(std::string_view name) {
  const auto* found =
      std::ranges::find_if(kOps, [&](const PlainOp& op) { return op.name == name; });
  return found == std::end(kOps) ? nullptr : found;
}

const PlainOp& plain_op(const PlainCall& call) {
  const PlainOp* op = find_plain(call.op);
  ESPALIER_CHECK(op != nullptr, ValueError, "plan: no plain form of the op '", call.op, "'");
  ESPALIER_CHECK(call.operands.size() >= op->least && call.operands.size() <= op->most &&
                     call.constants.size() == call.operands.size(),
                 ValueError,
                 "plan: the op '",
                 call.op,
                 "' has ",
                 call.operands.size(),
                 " operands");
  return *op;
}

/// What makes an op unfit before its shape is asked for.
void require(const PlainCall& call, bool fits) {
  ESPALIER_CHECK(
      fits, ShapeError, "plan: the operands of the op '", call.op, "' don't fit each other");
}

Shape product_result(const PlainCall& call) {
  const Shape &a = call.operands[0], &b = call.operands[1];
  require(call, a.rank() >= 2 && b.rank() >= 2 && a.size(-1) == b.size(-2));
  const auto leading = [](const Shape& s) { return s.without(s.rank() - 1).without(s.rank() - 2); };
  Shape out = broadcast_shapes(leading(a), leading(b), call.op);
  out.push_back(a.size(-2));
  out.push_back(b.size(-1));
  return out;
}

Shape concat_result(const PlainCall& call) {
  Shape out = call.operands[0];
  const int dim = out.wrap(dim_of(call), call.op);
  for (size_t i = 1; i < call.operands.size(); ++i) {
    require(call, call.operands[i].rank() == out.rank());
    out[dim] += call.operands[i][dim];
  }
  return out;
}

Shape reduced(const PlainCall& call) {
  Shape out = call.operands[0];
  const bool keeps = keeps_dims(call);
  std::vector<int> dims = dims_of(call);
  std::ranges::sort(dims, std::greater<>());
  for (const int dim : dims) {
    require(call, dim >= 0 && dim < out.rank());
    if (keeps) {
      out[dim] = 1;
    } else {
      out = out.without(dim);
    }
  }
  return out;
}

Shape transposed_result(const PlainCall& call) {
  const Shape &x = call.operands[0], &w = call.operands[1];
  const ConvTranspose2dOptions o = transposed_options(call);
  constexpr int64_t kMost = 1 << 20;
  for (const Pair& pair : {o.stride, o.padding, o.output_padding, o.dilation}) {
    require(call, pair.h >= 0 && pair.w >= 0 && pair.h <= kMost && pair.w <= kMost);
  }
  require(call, o.groups >= 1 && o.groups <= kMost);
  return conv_transpose2d_shape(x, w, o);
}

/// The shape that the result must have: hostile attributes must not ask for more memory than that.
Shape result_of(const PlainOp& op, const PlainCall& call) {
  const std::vector<Shape>& in = call.operands;
  switch (op.rule) {
    case Rule::Same:
      return in[0];
    case Rule::Pairs:
      return in.size() > 1 ? broadcast_shapes(in[0], in[1], call.op) : in[0];
    case Rule::Product:
      return product_result(call);
    case Rule::Linear:
      require(call, in[0].rank() == 2 && in[1].rank() == 2);
      return {in[0][0], in[1][0]};
    case Rule::Concat:
      return concat_result(call);
    case Rule::Reduction:
      return reduced(call);
    case Rule::Expand:
      return shape_of(call);
    case Rule::Transposed:
      return transposed_result(call);
    case Rule::Rows: {
      require(call, in[1].rank() == 2);
      Shape out = in[0];
      out.push_back(in[1][1]);
      return out;
    }
  }
  throw ValueError("plan: unknown rule of an op");
}

/// Whether only operand 0 may depend on the input.
bool has_one_value(Rule rule) {
  return rule == Rule::Same || rule == Rule::Linear || rule == Rule::Transposed ||
         rule == Rule::Rows || rule == Rule::Reduction || rule == Rule::Expand;
}

}  // namespace

std::string plain_op_names() {
  std::string names;
  for (const PlainOp& op : kOps) names += cat(names.empty() ? "" : ", ", op.name);
  return names;
}

bool has_plain_form(std::string_view op) {
  return find_plain(op) != nullptr;
}

std::string why_it_mixes(const PlainCall& call,
                         std::span<const Shape> operands,
                         const Shape& output) {
  const PlainOp& op = plain_op(call);
  const bool one = has_one_value(op.rule) || call.op == "matmul";
  for (size_t i = 0; i < operands.size(); ++i) {
    if (call.constants[i].defined()) {
      if (i == 0 && one) return "combines a constant with the input";
      // A constant with a row for each sample that does not follow from their number.
      const bool rows = !one && operands[i].rank() == output.rank() && operands[i][0] != 1;
      const bool fixed = operands[i].rank() > 0 && operands[i][0] == call.operands[i][0] &&
                         output[0] != call.output[0];
      if (rows && fixed) return "mixes samples";
      continue;
    }
    if (i > 0 && one) return "has a weight that depends on the input";
    if (op.rule == Rule::Reduction) continue;
    const bool apart = op.rule == Rule::Rows || operands[i].rank() == output.rank();
    if (!apart || operands[i][0] != output[0] || call.operands[i][0] != call.output[0])
      return "mixes samples";
  }
  if (call.attributes.contains("dim") && call.attributes.integer("dim") == 0)
    return "mixes samples";
  if (op.rule == Rule::Reduction && std::ranges::count(dims_of(call), 0) > 0)
    return "mixes samples";
  if (call.op == "bmm" && output.rank() < 3) return "mixes samples";
  return {};
}

void check_plain_call(const PlainCall& call) {
  const PlainOp& op = plain_op(call);
  // float32 tells whole numbers apart up to here.
  constexpr int64_t kMostRows = 1 << 24;
  for (size_t i = 0; i < call.operands.size(); ++i) {
    const Tensor& constant = call.constants[i];
    ESPALIER_CHECK(!constant.defined() ||
                       (constant.dtype() == DType::F32 && constant.shape() == call.operands[i]),
                   ShapeError,
                   "plan: operand ",
                   i,
                   " of the op '",
                   call.op,
                   "' is to be float32 ",
                   call.operands[i]);
    require(call, !has_one_value(op.rule) || constant.defined() == (i > 0));
    require(call, op.rule != Rule::Rows || i == 0 || call.operands[i][0] <= kMostRows);
  }
  const Shape result = result_of(op, call);
  ESPALIER_CHECK(result == call.output,
                 ShapeError,
                 "plan: the op '",
                 call.op,
                 "' gives ",
                 result,
                 ", not ",
                 call.output);
}

Tensor run_plain(const PlainCall& call, const std::vector<Tensor>& operands) {
  const NoGrad no_grad;
  const OpObserverScope unseen(nullptr);
  Inputs in;
  in.reserve(operands.size());
  for (size_t i = 0; i < operands.size(); ++i) {
    in.emplace_back(call.constants[i].defined() ? call.constants[i] : operands[i]);
  }
  Tensor out = plain_op(call).run(in, call).value().to(Layout::Nchw).contiguous();
  ESPALIER_CHECK(out.shape() == call.output && out.dtype() == DType::F32,
                 ShapeError,
                 "plan: the op '",
                 call.op,
                 "' gave ",
                 out,
                 ", not ",
                 call.output);
  return out;
}

}  // namespace espalier::nn::plan
