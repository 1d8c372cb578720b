// SPDX-License-Identifier: Apache-2.0
// Chapter 2 of the course (docs/02_gradients.md): the tape, and gradients checked by hand.
#include <espalier/autograd/gradcheck.h>
#include <espalier/autograd/ops.h>
#include "facts.h"

using namespace espalier;

namespace {

void a_gradient_by_hand(course::Facts& facts) {
  std::puts("L = sum(a b) + sum(relu(a))");
  const Variable a(Tensor::from<float>({3}, {1, -2, 3}), /*requires_grad=*/true);
  const Variable b(Tensor::from<float>({3}, {4, 5, -6}), true);
  const Variable loss = sum(a * b) + sum(relu(a));
  facts.check(loss.item() == -20.0, "L = 4 - 10 - 18 + 1 + 0 + 3 = -20");

  loss.backward();
  // dL/da = b + [a > 0] and dL/db = a.
  facts.check(a.grad().value().to_vector<float>() == std::vector<float>{5, 5, -5},
              "dL/da = (4,5,-6) + (1,0,1)");
  facts.check(b.grad().value().to_vector<float>() == std::vector<float>{1, -2, 3}, "dL/db = a");
}

void the_tape(course::Facts& facts) {
  std::puts("The tape");
  const Variable a(Tensor::from<float>({2}, {1, 2}), true);
  const Variable loss = sum(a * a);
  const std::shared_ptr<Node> last = producer(loss);
  facts.check(std::string(last->name()) == "sum", "a result knows the op that made it");
  const std::shared_ptr<Node> before = last->inputs()[0].node;
  facts.check(std::string(before->name()) == "mul", "and that op the ones before it");
  facts.check(before->inputs()[0].leaf == a.state(), "down to the leaves that want a gradient");

  const NoGrad no_grad;
  facts.check(producer(sum(a * a)) == nullptr, "under NoGrad nothing is recorded");
}

void gradients_add_up(course::Facts& facts) {
  std::puts("backward() adds to what is there");
  Variable w(Tensor::scalar(3.0), true);
  (w * w).backward();
  (w * w).backward();
  facts.check(w.grad().item() == 12.0, "twice d(w^2)/dw = 6 at w = 3");
  w.zero_grad();
  facts.check(!w.grad().defined(), "until zero_grad()");
}

void a_loss_by_hand(course::Facts& facts) {
  std::puts("Cross-entropy: the gradient is probabilities minus the truth");
  const Variable logits(Tensor::from<double>({1, 2}, {0, 0}), true);
  const Variable loss = cross_entropy(logits, Tensor::from<int64_t>({1}, {0}));
  loss.backward();
  facts.check(std::abs(loss.item() - std::log(2.0)) < 1e-15, "two equal logits cost log 2");
  facts.check(std::abs(logits.grad().value().at({0, 0}) + 0.5) < 1e-15 &&
                  std::abs(logits.grad().value().at({0, 1}) - 0.5) < 1e-15,
              "and the gradient is (0.5 - 1, 0.5 - 0)");
}

void a_gradient_of_a_gradient(course::Facts& facts) {
  std::puts("Backward functions are made of ops, so gradients have gradients");
  const Variable x(Tensor::scalar(2.0, DType::F64), true);
  const Variable cube = x * x * x;
  const Variable first = grad({cube}, {x}, {.create_graph = true})[0];
  const Variable second = grad({first}, {x})[0];
  facts.check(first.item() == 12.0, "(x^3)' = 3 x^2 is 12 at 2");
  facts.check(second.item() == 12.0, "(x^3)'' = 6 x is 12 at 2");
}

void numeric_check(course::Facts& facts) {
  std::puts("Against differences, in float64");
  const auto f = [](double x) { return std::tanh(x * x); };
  const double at = 0.7, h = 1e-6;
  const double slope = (f(at + h) - f(at - h)) / (2.0 * h);
  const Variable x(Tensor::scalar(at, DType::F64), true);
  tanh(x * x).backward();
  facts.check(std::abs(x.grad().item() - slope) < 1e-8, "tanh(x^2) at 0.7: tape = difference");

  const std::string wrong = gradcheck(
      [](const std::vector<Variable>& in) { return tanh(matmul(in[0], in[1])); },
      {Tensor::from<double>({1, 2}, {0.3, -0.4}), Tensor::from<double>({2, 2}, {1, 2, 3, 4})});
  facts.check(wrong.empty(), "gradcheck() does so for every element of every input");
}

}  // namespace

int main() {
  course::Facts facts;
  a_gradient_by_hand(facts);
  the_tape(facts);
  gradients_add_up(facts);
  a_loss_by_hand(facts);
  a_gradient_of_a_gradient(facts);
  numeric_check(facts);
  return facts.exit_code();
}
