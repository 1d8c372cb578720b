// SPDX-License-Identifier: Apache-2.0
/// A plugin: a shared object that `espalier --plugin FILE.so` loads, with methods, models and data
/// sets of its own. It uses the library that is in the command, and is not linked to one:
///
///   ESPALIER_PLUGIN {
///     espalier::prune::register_method(my_method());
///   }
///
///   g++ -std=c++20 -O2 -shared -fPIC my_method.cpp $(pkg-config --cflags espalier) -o my_method.so
///
/// With CMake: `add_library(my_method MODULE my_method.cpp)`, linked to `espalier::plugin`.
#pragma once

#include <espalier/core/version.h>

/// Opens the function that registers what the plugin brings; once in a shared object.
#define ESPALIER_PLUGIN                              \
  extern "C" const char* espalier_plugin_version() { \
    return espalier::kVersion;                       \
  }                                                  \
  extern "C" void espalier_plugin_register()
