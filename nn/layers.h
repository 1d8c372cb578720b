// SPDX-License-Identifier: Apache-2.0
/// All layers.
#pragma once

#include <espalier/nn/activations.h>
#include <espalier/nn/attention.h>
#include <espalier/nn/batch_norm.h>
#include <espalier/nn/conv1d.h>
#include <espalier/nn/conv2d.h>
#include <espalier/nn/conv_transpose2d.h>
#include <espalier/nn/dropout.h>
#include <espalier/nn/embedding.h>
#include <espalier/nn/flatten.h>
#include <espalier/nn/group_norm.h>
#include <espalier/nn/gru.h>
#include <espalier/nn/layer_norm.h>
#include <espalier/nn/linear.h>
#include <espalier/nn/lstm.h>
#include <espalier/nn/pooling.h>
#include <espalier/nn/residual.h>
#include <espalier/nn/sequential.h>
