/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The C interface for embedding: compiled networks (plans, written by InferencePlan::save or
 * `espalier eval --compiled --plan FILE`) are loaded and run. Nothing else of the library is here.
 *
 * No exception crosses this interface. Functions that can fail return 0 on success and another
 * number on failure; espalier_last_error() then says why.
 */
#ifndef ESPALIER_C_H_
#define ESPALIER_C_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A compiled network. May be used by several threads at once. */
typedef struct espalier_plan espalier_plan;

/** What functions return. */
enum {
  ESPALIER_OK = 0,
  ESPALIER_BAD_ARGUMENT = 1, /**< a null pointer, a size out of range */
  ESPALIER_BAD_FILE = 2,     /**< a file that can't be read or is not a plan */
  ESPALIER_FAILED = 3        /**< anything else, such as no memory */
};

/** The version of the library, `0.1.0`. */
const char* espalier_version(void);

/**
 * Why the last call of this thread that failed did so. Never null; empty before the first failure.
 * Valid until the next failure in this thread.
 */
const char* espalier_last_error(void);

/** Loads a plan file. On success *plan is to be freed with espalier_free; else it is set to null.
 */
int espalier_load(const char* path, espalier_plan** plan);

/** Frees a plan that no thread runs any more. Null is ignored. */
void espalier_free(espalier_plan* plan);

/** Floats of one sample's input, channels x height x width; 0 for null. */
int64_t espalier_input_size(const espalier_plan* plan);
/** Floats of one sample's output; 0 for null. */
int64_t espalier_output_size(const espalier_plan* plan);
/** The number of samples at once that the plan was made for; 0 for null. */
int64_t espalier_batch(const espalier_plan* plan);

/**
 * Runs `samples` samples, any number: `input` holds samples x espalier_input_size floats, each
 * sample in the order channels, height, width, normalized as in training; `output`
 * samples x espalier_output_size floats, overwritten. The two must not overlap.
 */
int espalier_run(const espalier_plan* plan, const float* input, int64_t samples, float* output);

/** Threads that all runs of the process share; 0: one for each processor. */
int espalier_set_threads(int threads);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* ESPALIER_C_H_ */
