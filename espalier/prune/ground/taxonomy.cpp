// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/ground/taxonomy.h>

#include <espalier/core/error.h>

namespace espalier::prune {

std::string name(Speedup speedup) {
  switch (speedup) {
    case Speedup::Unstructured:
      return "unstructured";
    case Speedup::SemiStructured:
      return "semi-structured";
    case Speedup::Structured:
      return "structured";
  }
  throw ValueError("name: unknown kind of speed-up");
}

std::string title(When when) {
  switch (when) {
    case When::Before:
      return "Before training";
    case When::During:
      return "During training";
    case When::After:
      return "After training";
    case When::Runtime:
      return "At run time";
  }
  throw ValueError("taxonomy: unknown moment of pruning");
}

std::string name(When when) {
  switch (when) {
    case When::Before:
      return "before";
    case When::During:
      return "during";
    case When::After:
      return "after";
    case When::Runtime:
      return "runtime";
  }
  throw ValueError("name: unknown moment of pruning");
}

std::string name(How how) {
  switch (how) {
    case How::Criterion:
      return "criterion";
    case How::Learning:
      return "learning";
    case How::Fusion:
      return "fusion";
  }
  throw ValueError("name: unknown way of pruning");
}

}  // namespace espalier::prune
