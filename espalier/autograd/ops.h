// SPDX-License-Identifier: Apache-2.0
/// All differentiable ops. Each lives in one file `autograd/ops/<op>.cpp` (formula, checks,
/// forward, backward, samples for the tests) and has one line in `autograd/ops.inc`.
#pragma once

#include <espalier/autograd/ops/convolution.h>
#include <espalier/autograd/ops/elementwise.h>
#include <espalier/autograd/ops/loss.h>
#include <espalier/autograd/ops/matmul.h>
#include <espalier/autograd/ops/normalization.h>
#include <espalier/autograd/ops/pooling.h>
#include <espalier/autograd/ops/reduction.h>
#include <espalier/autograd/ops/shape.h>
#include <espalier/autograd/ops/straight_through.h>
#include <espalier/autograd/variable.h>
