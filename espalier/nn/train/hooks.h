// SPDX-License-Identifier: Apache-2.0
/// All ready-made hooks of fit().
#pragma once

#include <espalier/nn/train/hooks/best_model.h>
#include <espalier/nn/train/hooks/csv_log.h>
#include <espalier/nn/train/hooks/early_stopping.h>
#include <espalier/nn/train/hooks/progress_lines.h>
#include <espalier/nn/train/hooks/reduce_on_plateau.h>
#include <espalier/nn/train/hooks/save_checkpoints.h>
#include <espalier/nn/train/hooks/validation.h>
#include <espalier/nn/train/hooks/weight_average.h>
