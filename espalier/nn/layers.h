// SPDX-License-Identifier: Apache-2.0
/// All layers.
#pragma once

#include <espalier/nn/layers/activations.h>
#include <espalier/nn/layers/attention.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/layers/conv1d.h>
#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/layers/conv_transpose2d.h>
#include <espalier/nn/layers/dropout.h>
#include <espalier/nn/layers/embedding.h>
#include <espalier/nn/layers/flatten.h>
#include <espalier/nn/layers/group_norm.h>
#include <espalier/nn/layers/gru.h>
#include <espalier/nn/layers/layer_norm.h>
#include <espalier/nn/layers/linear.h>
#include <espalier/nn/layers/lstm.h>
#include <espalier/nn/layers/pooling.h>
#include <espalier/nn/layers/residual.h>
#include <espalier/nn/layers/sequential.h>
