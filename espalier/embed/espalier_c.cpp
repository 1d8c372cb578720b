// SPDX-License-Identifier: Apache-2.0
// The C interface: every function catches what the library throws and keeps its text.
#include <espalier/espalier_c.h>

#include <exception>
#include <new>
#include <string>

#include <espalier/core/parallel.h>
#include <espalier/core/version.h>
#include <espalier/nn/plan/plan.h>

/// The plan behind the pointer that C holds.
struct espalier_plan {
  espalier::nn::InferencePlan plan;
};

namespace {

std::string& last_error() {
  thread_local std::string text;
  return text;
}

int fail(int code, const char* text) noexcept {
  try {
    last_error() = text;
  } catch (const std::bad_alloc&) {
    last_error().clear();  // no memory left to say so
  }
  return code;
}

/// Runs `body`; an exception becomes a number and a text.
template <class Body>
int guarded(Body body) noexcept {
  try {
    body();
    return ESPALIER_OK;
  } catch (const espalier::IoError& e) {
    return fail(ESPALIER_BAD_FILE, e.what());
  } catch (const espalier::ValueError& e) {
    return fail(ESPALIER_BAD_ARGUMENT, e.what());
  } catch (const std::bad_alloc&) {
    return fail(ESPALIER_FAILED, "out of memory");
  } catch (const std::exception& e) {
    return fail(ESPALIER_FAILED, e.what());
  } catch (...) {
    return fail(ESPALIER_FAILED, "an unknown exception");
  }
}

}  // namespace

extern "C" {

const char* espalier_version(void) {
  return espalier::kVersion;
}

const char* espalier_last_error(void) {
  return last_error().c_str();
}

int espalier_load(const char* path, espalier_plan** plan) {
  if (plan == nullptr) return fail(ESPALIER_BAD_ARGUMENT, "espalier_load: plan is null");
  *plan = nullptr;
  if (path == nullptr) return fail(ESPALIER_BAD_ARGUMENT, "espalier_load: path is null");
  return guarded([&] { *plan = new espalier_plan{espalier::nn::InferencePlan::load(path)}; });
}

void espalier_free(espalier_plan* plan) {
  delete plan;
}

int64_t espalier_input_size(const espalier_plan* plan) {
  return plan == nullptr ? 0 : plan->plan.input_shape().numel();
}

int64_t espalier_output_size(const espalier_plan* plan) {
  return plan == nullptr ? 0 : plan->plan.output_shape().numel();
}

int64_t espalier_batch(const espalier_plan* plan) {
  return plan == nullptr ? 0 : plan->plan.batch();
}

int espalier_run(const espalier_plan* plan, const float* input, int64_t samples, float* output) {
  if (plan == nullptr) return fail(ESPALIER_BAD_ARGUMENT, "espalier_run: plan is null");
  if (samples != 0 && (input == nullptr || output == nullptr)) {
    return fail(ESPALIER_BAD_ARGUMENT, "espalier_run: input or output is null");
  }
  return guarded([&] { plan->plan.run(input, samples, output); });
}

int espalier_set_threads(int threads) {
  return guarded([&] { espalier::set_num_threads(threads); });
}

}  // extern "C"
