/* konv in C. Functions that can fail return 0 on success and -1 on failure; konv_last_error() then tells why, for the calling thread. */
#ifndef KONV_H
#define KONV_H

#include <stddef.h>
#include <stdint.h>

#include <konv/export.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct konv_model konv_model;
typedef struct konv_session konv_session;

KONV_API const char* konv_version(void);

/* The message of the last failure on this thread, one line; "" when there was none. */
KONV_API const char* konv_last_error(void);

/* NULL on failure. */
KONV_API konv_model* konv_model_load(const char* path);
KONV_API void konv_model_free(konv_model* model);

/* Labels of the classes; NULL beyond the last. */
KONV_API const char* konv_model_label(const konv_model* model, size_t index);

/* Interleaved 8-bit RGB pixels to the model's first input: 3 * height * width floats. */
KONV_API int konv_model_preprocess(const konv_model* model, const uint8_t* rgb, int width, int height, float* out);

/* threads: 0 = one per core. NULL on failure. The model may be freed before the session. */
KONV_API konv_session* konv_session_create(const konv_model* model, int threads);
KONV_API void konv_session_free(konv_session* session);

/* Runs a model with one float32 input of shape dims[0..rank). */
KONV_API int konv_session_run(konv_session* session, const float* input, const int64_t* dims, size_t rank);

/* Output of the last run: its data (valid until the next run) and number of elements. NULL for a wrong index or another type than float32. */
KONV_API const float* konv_session_output(const konv_session* session, size_t index, size_t* count);

#ifdef __cplusplus
}
#endif

#endif
