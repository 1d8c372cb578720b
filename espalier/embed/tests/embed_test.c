/* SPDX-License-Identifier: Apache-2.0 */
/* Uses the whole C interface, from C. The network: out = relu(sum of 4 numbers, -2 times that). */
#include <espalier/espalier_c.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                             \
    }                                                                         \
  } while (0)

enum { kSamples = 40 };

int main(int argc, char** argv) {
  espalier_plan* plan = NULL;
  espalier_plan* other = (espalier_plan*)&failures;
  float input[4 * kSamples];
  float output[2 * kSamples];
  int i;
  if (argc != 2) return 2;

  CHECK(strlen(espalier_version()) >= 5);
  CHECK(strcmp(espalier_last_error(), "") == 0);

  CHECK(espalier_load("/no/such/plan", &other) == ESPALIER_BAD_FILE);
  CHECK(other == NULL);
  CHECK(strstr(espalier_last_error(), "/no/such/plan") != NULL);
  CHECK(espalier_load(argv[0], &other) == ESPALIER_BAD_FILE); /* this program is not a plan */
  CHECK(espalier_load(NULL, &other) == ESPALIER_BAD_ARGUMENT);
  CHECK(espalier_load(argv[1], NULL) == ESPALIER_BAD_ARGUMENT);

  CHECK(espalier_load(argv[1], &plan) == ESPALIER_OK);
  if (plan == NULL) {
    fprintf(stderr, "%s\n", espalier_last_error());
    return 1;
  }
  CHECK(espalier_input_size(plan) == 4);
  CHECK(espalier_output_size(plan) == 2);
  CHECK(espalier_batch(plan) == 16);
  CHECK(espalier_set_threads(2) == ESPALIER_OK);
  CHECK(espalier_set_threads(-1) == ESPALIER_BAD_ARGUMENT);

  /* More than the batch; the first half sums to i + 6, the second to minus that. */
  for (i = 0; i < kSamples; ++i) {
    const float sign = i < kSamples / 2 ? 1.0f : -1.0f;
    input[4 * i] = sign * (float)i;
    input[4 * i + 1] = sign;
    input[4 * i + 2] = sign * 2.0f;
    input[4 * i + 3] = sign * 3.0f;
  }
  CHECK(espalier_run(plan, input, kSamples, output) == ESPALIER_OK);
  for (i = 0; i < kSamples; ++i) {
    const float sum = (float)(i + 6);
    CHECK(output[2 * i] == (i < kSamples / 2 ? sum : 0.0f));
    CHECK(output[2 * i + 1] == (i < kSamples / 2 ? 0.0f : 2.0f * sum));
  }

  CHECK(espalier_run(plan, NULL, 0, NULL) == ESPALIER_OK);
  CHECK(espalier_run(plan, NULL, 1, output) == ESPALIER_BAD_ARGUMENT);
  CHECK(espalier_run(NULL, input, 1, output) == ESPALIER_BAD_ARGUMENT);
  CHECK(espalier_run(plan, input, -1, output) == ESPALIER_BAD_ARGUMENT);
  CHECK(strstr(espalier_last_error(), "-1") != NULL);
  CHECK(espalier_input_size(NULL) == 0);

  espalier_free(plan);
  espalier_free(NULL);
  return failures == 0 ? 0 : 1;
}
