// SPDX-License-Identifier: Apache-2.0
/// What most programs need in one include; nn/introspect/explain.h, quantization, compression,
/// gates and distillation have headers of their own.
#pragma once

#include <espalier/autograd/derivative/gradcheck.h>
#include <espalier/autograd/ops.h>
#include <espalier/core/arithmetic.h>
#include <espalier/core/finite.h>
#include <espalier/core/npz.h>
#include <espalier/core/parallel.h>
#include <espalier/core/print.h>
#include <espalier/core/random.h>
#include <espalier/core/safetensors.h>
#include <espalier/core/simd.h>
#include <espalier/data/loader.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/introspect/summary.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/init.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/predict.h>
#include <espalier/nn/train/adagrad.h>
#include <espalier/nn/train/adam.h>
#include <espalier/nn/train/checkpoint.h>
#include <espalier/nn/train/fit.h>
#include <espalier/nn/train/hooks.h>
#include <espalier/nn/train/lookahead.h>
#include <espalier/nn/train/lr_schedule.h>
#include <espalier/nn/train/metrics.h>
#include <espalier/nn/train/muon.h>
#include <espalier/nn/train/parameter_groups.h>
#include <espalier/nn/train/rmsprop.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/drive/registry.h>
#include <espalier/prune/structure/shrink.h>
