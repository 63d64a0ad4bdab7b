/* The boundary between libkonv and its CUDA plug-in: plain C, no CUDA type, no konv class. libkonv_cuda.so exports konv_cuda_get_table() and nothing else.
 *
 * Functions that can fail return 0 on success; otherwise last_error() tells why, one line, for the calling thread. Device memory, streams, graphs and events
 * are opaque. A stream belongs to one device; work in it runs in order. No function changes the calling thread's current device. */
#ifndef KONV_CUDA_TABLE_H
#define KONV_CUDA_TABLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KONV_CUDA_TABLE_VERSION 2

typedef struct konv_cuda_device {
  char name[256];
  int32_t major, minor; /* compute capability */
  int32_t multiprocessors;
  int32_t clock_khz, memory_clock_khz, memory_bus_bits; /* 0: the driver does not say */
  int64_t memory_bytes, l2_bytes;
  int64_t shared_bytes_per_block, shared_bytes_per_multiprocessor;
  int32_t driver_version, runtime_version; /* 12040 is 12.4 */
} konv_cuda_device;

/* One kernel: its number in kernels.inc and its parameter struct, copied by the call. */
typedef struct konv_cuda_launch {
  int32_t kernel;
  uint32_t grid[3];
  uint32_t threads;
  uint32_t shared_bytes;
  const void* params;
  size_t params_bytes;
} konv_cuda_launch;

enum { KONV_CUDA_FLOAT32 = 0, KONV_CUDA_TF32 = 1, KONV_CUDA_FLOAT16 = 2 };

/* out[m][n] = activation(sum over k of a[m][k] b[n][k] + bias[n] + residual[m][n]), row-major without gaps, by cuBLASLt; sums are float32. */
typedef struct konv_cuda_product {
  int32_t precision;
  int64_t m, n, k;
  const void *a, *b;
  const void* bias;     /* of the output's type; null: none */
  const void* residual; /* laid out like the output; null: none */
  int32_t relu;         /* 1: negative results become zero; 0: no activation */
  void* out;
} konv_cuda_product;

typedef struct konv_cuda_table {
  uint32_t version;
  uint32_t bytes;       /* of this struct */
  const char* build_id; /* of kernels.inc and params.h: both sides must have been built from the same */
  int32_t kernel_count;

  const char* (*last_error)(void);
  int (*device_count)(int32_t* count);
  int (*describe)(int32_t device, konv_cuda_device* description);

  int (*allocate)(int32_t device, size_t bytes, void** memory); /* aligned to 256 bytes */
  int (*release)(int32_t device, void* memory);
  int (*allocate_pinned)(size_t bytes, void** memory); /* host memory that copies can run beside the CPU from */
  int (*release_pinned)(void* memory);

  int (*stream_create)(int32_t device, void** stream);
  int (*stream_destroy)(void* stream);
  int (*synchronize)(void* stream);
  int (*copy_to_device)(void* stream, void* to, const void* from, size_t bytes); /* asynchronous from pinned memory */
  int (*copy_to_host)(void* stream, void* to, const void* from, size_t bytes);

  int (*launch)(void* stream, const konv_cuda_launch* call);

  int (*product_open)(void); /* loads cuBLASLt, a part of a second and of a gigabyte; later calls cost nothing */
  /* A product of one stream, outside captures. Its algorithm is settled here, once: the heuristic's first that splits no sum. */
  int (*product_create)(void* stream, const konv_cuda_product* product, void** made);
  int (*product_run)(void* product);
  int (*product_destroy)(void* product);

  /* Between begin and end, work goes into the graph instead of running. */
  int (*capture_begin)(void* stream);
  int (*capture_end)(void* stream, void** graph);
  int (*graph_launch)(void* graph, void* stream);
  int (*graph_destroy)(void* graph);

  int (*event_create)(int32_t device, void** event);
  int (*event_destroy)(void* event);
  int (*event_record)(void* event, void* stream);
  int (*event_milliseconds)(void* begin, void* end, float* milliseconds); /* both have happened */
} konv_cuda_table;

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const konv_cuda_table*
konv_cuda_get_table(void);

typedef const konv_cuda_table* (*konv_cuda_get_table_function)(void);

#ifdef __cplusplus
}
#endif

#endif
