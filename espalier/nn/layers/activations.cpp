// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/ops.h>
#include <espalier/nn/layers/activations.h>

namespace espalier::nn {

Variable ReLU::forward(const Variable& x) {
  return relu(x);
}
Variable ReLU6::forward(const Variable& x) {
  return limited_ ? clamp(x, 0.0, 6.0) : relu(x);
}
Variable GELU::forward(const Variable& x) {
  return options_.tanh ? gelu_tanh(x) : gelu(x);
}
Variable Sigmoid::forward(const Variable& x) {
  return sigmoid(x);
}
Variable Tanh::forward(const Variable& x) {
  return tanh(x);
}
Variable SiLU::forward(const Variable& x) {
  return silu(x);
}
Variable Softplus::forward(const Variable& x) {
  return softplus(x);
}

Variable LeakyReLU::forward(const Variable& x) {
  return leaky_relu(x, slope_);
}
std::string LeakyReLU::describe() const {
  return cat("LeakyReLU(", slope_, ")");
}

}  // namespace espalier::nn
