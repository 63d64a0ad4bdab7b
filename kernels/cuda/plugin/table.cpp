// The plug-in's table: thin functions around the CUDA runtime.
#include "kernels/cuda/table.h"

#include <cstdio>
#include <cstring>
#include <memory>

#include "kernels/cuda/plugin/blas.h"
#include "kernels/cuda/plugin/error.h"
#include "kernels/cuda/plugin/launch.h"

namespace konv::cuda {

std::string& last_error() {
  thread_local std::string text;
  return text;
}

int check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return 0;
  last_error() = std::string(what) + ": " + cudaGetErrorString(status);
  cudaGetLastError();  // errors that do not stick are not to surprise the next call
  return 1;
}

namespace {

Stream& stream_of(void* stream) { return *static_cast<Stream*>(stream); }

int device_count(int32_t* count) {
  *count = 0;
  int found = 0;  // stays unwritten without a driver
  int driver = 0;
  if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0) {
    last_error() = "no CUDA driver on this machine";
    return 1;
  }
  const cudaError_t status = cudaGetDeviceCount(&found);
  if (status == cudaErrorNoDevice) return 0;
  if (status != cudaSuccess) return check(status, "cudaGetDeviceCount");
  *count = found;
  return 0;
}

int describe(int32_t device, konv_cuda_device* d) {
  cudaDeviceProp properties;
  if (check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties")) return 1;
  std::memset(d, 0, sizeof *d);
  std::snprintf(d->name, sizeof d->name, "%s", properties.name);
  d->major = properties.major;
  d->minor = properties.minor;
  d->multiprocessors = properties.multiProcessorCount;
  cudaDeviceGetAttribute(&d->clock_khz, cudaDevAttrClockRate, device);
  cudaDeviceGetAttribute(&d->memory_clock_khz, cudaDevAttrMemoryClockRate, device);
  d->memory_bus_bits = properties.memoryBusWidth;
  d->memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  d->l2_bytes = properties.l2CacheSize;
  d->shared_bytes_per_block = static_cast<int64_t>(properties.sharedMemPerBlockOptin);
  d->shared_bytes_per_multiprocessor = static_cast<int64_t>(properties.sharedMemPerMultiprocessor);
  cudaDriverGetVersion(&d->driver_version);
  cudaRuntimeGetVersion(&d->runtime_version);
  return 0;
}

int allocate(int32_t device, size_t bytes, void** memory) {
  const OnDevice on(device);
  return check(cudaMalloc(memory, bytes ? bytes : 1), "cudaMalloc");
}

int release(int32_t device, void* memory) {
  const OnDevice on(device);
  return check(cudaFree(memory), "cudaFree");
}

int allocate_pinned(size_t bytes, void** memory) { return check(cudaMallocHost(memory, bytes ? bytes : 1), "cudaMallocHost"); }
int release_pinned(void* memory) { return check(cudaFreeHost(memory), "cudaFreeHost"); }

int stream_create(int32_t device, void** out) {
  const OnDevice on(device);
  if (prepare_kernels()) return 1;
  auto stream = std::make_unique<Stream>();
  stream->device = device;
  if (check(cudaStreamCreateWithFlags(&stream->stream, cudaStreamNonBlocking), "cudaStreamCreate")) return 1;
  *out = stream.release();
  return 0;
}

int stream_destroy(void* handle) {
  const std::unique_ptr<Stream> stream(static_cast<Stream*>(handle));
  const OnDevice on(stream->device);
  products_end(*stream);
  return check(cudaStreamDestroy(stream->stream), "cudaStreamDestroy");
}

int synchronize(void* handle) {
  const OnDevice on(stream_of(handle).device);
  return check(cudaStreamSynchronize(stream_of(handle).stream), "cudaStreamSynchronize");
}

int copy_to_device(void* handle, void* to, const void* from, size_t bytes) {
  const OnDevice on(stream_of(handle).device);
  return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_of(handle).stream), "cudaMemcpyAsync");
}

int copy_to_host(void* handle, void* to, const void* from, size_t bytes) {
  const OnDevice on(stream_of(handle).device);
  return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_of(handle).stream), "cudaMemcpyAsync");
}

int launch(void* handle, const konv_cuda_launch* call) { return launch_kernel(stream_of(handle), *call); }
int product_of_stream(void* handle, const konv_cuda_product* product, void** made) {
  return product_create(stream_of(handle), *product, made);
}

int capture_begin(void* handle) {
  const OnDevice on(stream_of(handle).device);
  // Other threads of the host application may allocate meanwhile: what they do is theirs.
  return check(cudaStreamBeginCapture(stream_of(handle).stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
}

int capture_end(void* handle, void** out) {
  const OnDevice on(stream_of(handle).device);
  cudaGraph_t graph = nullptr;
  if (check(cudaStreamEndCapture(stream_of(handle).stream, &graph), "cudaStreamEndCapture")) return 1;
  cudaGraphExec_t made = nullptr;
  const int failed = check(cudaGraphInstantiate(&made, graph, 0), "cudaGraphInstantiate");
  cudaGraphDestroy(graph);
  if (failed) return 1;
  *out = made;
  return 0;
}

int graph_launch(void* graph, void* handle) {
  const OnDevice on(stream_of(handle).device);
  return check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream_of(handle).stream), "cudaGraphLaunch");
}

int graph_destroy(void* graph) { return check(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)), "cudaGraphExecDestroy"); }

int event_create(int32_t device, void** out) {
  const OnDevice on(device);
  cudaEvent_t event = nullptr;
  if (check(cudaEventCreate(&event), "cudaEventCreate")) return 1;
  *out = event;
  return 0;
}

int event_destroy(void* event) { return check(cudaEventDestroy(static_cast<cudaEvent_t>(event)), "cudaEventDestroy"); }

int event_record(void* event, void* handle) {
  const OnDevice on(stream_of(handle).device);
  return check(cudaEventRecord(static_cast<cudaEvent_t>(event), stream_of(handle).stream), "cudaEventRecord");
}

int event_milliseconds(void* begin, void* end, float* milliseconds) {
  return check(cudaEventElapsedTime(milliseconds, static_cast<cudaEvent_t>(begin), static_cast<cudaEvent_t>(end)), "cudaEventElapsedTime");
}

const char* last_error_text() { return last_error().c_str(); }

}  // namespace
}  // namespace konv::cuda

extern "C" const konv_cuda_table* konv_cuda_get_table(void) {
  using namespace konv::cuda;
  static const konv_cuda_table table = {.version = KONV_CUDA_TABLE_VERSION,
                                        .bytes = sizeof(konv_cuda_table),
                                        .build_id = KONV_CUDA_BUILD_ID,
                                        .kernel_count = kernel_count(),
                                        .last_error = last_error_text,
                                        .device_count = device_count,
                                        .describe = describe,
                                        .allocate = allocate,
                                        .release = release,
                                        .allocate_pinned = allocate_pinned,
                                        .release_pinned = release_pinned,
                                        .stream_create = stream_create,
                                        .stream_destroy = stream_destroy,
                                        .synchronize = synchronize,
                                        .copy_to_device = copy_to_device,
                                        .copy_to_host = copy_to_host,
                                        .launch = launch,
                                        .product_open = product_open,
                                        .product_create = product_of_stream,
                                        .product_run = product_run,
                                        .product_destroy = product_destroy,
                                        .capture_begin = capture_begin,
                                        .capture_end = capture_end,
                                        .graph_launch = graph_launch,
                                        .graph_destroy = graph_destroy,
                                        .event_create = event_create,
                                        .event_destroy = event_destroy,
                                        .event_record = event_record,
                                        .event_milliseconds = event_milliseconds};
  return &table;
}
