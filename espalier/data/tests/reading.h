// SPDX-License-Identifier: Apache-2.0
/// What tests of readers compare with. Tests only.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include <espalier/core/error.h>

#include "fixtures.h"

namespace espalier::data::testing {

/// The pixels of one image.
inline Bytes image(const Dataset& dataset, int64_t index) {
  Bytes pixels(static_cast<size_t>(dataset.image_shape().numel()));
  dataset.read(index, pixels);
  return pixels;
}

/// What fixtures.h promises of image i.
inline Bytes expected_image(int64_t i, int64_t numel) {
  Bytes out;
  for (int64_t p = 0; p < numel; ++p) out.push_back(pixel(i, p));
  return out;
}

/// Calls `open`, which must throw an IoError whose text has `part` in it.
template <class F>
void expect_io_error(F open, const std::string& part) {
  try {
    open();
    ADD_FAILURE() << "no error; expected one with '" << part << "'";
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

}  // namespace espalier::data::testing
